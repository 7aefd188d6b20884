//! Random small graphs over the operators that compute sizes or depend on them.

use std::collections::BTreeMap;

use gristmill::{Model, testing::shape::Shape};

use crate::support::onnx_writer::{Draft, FLOAT, Message, floats, int, integers, ints, node, value};

/// Pseudo-random numbers by a seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x5851_f42d_4c95_7f2d)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn between(&mut self, least: i64, most: i64) -> i64 {
        least + self.below((most - least + 1) as usize) as i64
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

/// A dimension of an input.
#[derive(Clone, Debug)]
pub struct Axis {
    /// The symbol, unless the size is declared as a number.
    symbol: Option<String>,
    /// Whether the file names the symbol.
    named: bool,
    drawn: usize,
}

impl Axis {
    /// As the file with symbolic sizes has it.
    pub fn declared(&self) -> String {
        match &self.symbol {
            Some(symbol) if self.named => symbol.clone(),
            Some(_) => String::new(),
            None => self.drawn.to_string(),
        }
    }

    /// The size for which the graph was drawn.
    pub fn drawn_size(&self) -> usize {
        self.drawn
    }

    pub fn size(&self, sizes: &BTreeMap<String, usize>) -> usize {
        self.symbol.as_ref().map_or(self.drawn, |symbol| sizes[symbol])
    }
}

/// A graph under construction, and its inputs.
pub struct Drawn {
    pub draft: Draft,
    pub inputs: Vec<Vec<Axis>>,
    /// The names of the values that are compared.
    pub values: Vec<String>,
    /// The shapes of inputs and values for the drawn sizes.
    shapes: BTreeMap<String, Vec<usize>>,
    lines: Vec<String>,
    count: usize,
}

impl Drawn {
    pub fn new(random: &mut Random) -> Self {
        let opset = random.pick(&[13, 17, 18]);
        let mut own = Self {
            draft: Draft::new().opset(opset),
            inputs: Vec::new(),
            values: Vec::new(),
            shapes: BTreeMap::new(),
            lines: vec![format!("opset {opset}")],
            count: 0,
        };
        for index in 0..1 + random.below(2) {
            own.input(random, index);
        }
        for _ in 0..60 {
            if own.values.len() >= 5 {
                break;
            }
            own.step(random);
        }
        own
    }

    fn input(&mut self, random: &mut Random, index: usize) {
        let rank = random.pick(&[1, 2, 2, 3, 3, 4]);
        let axes: Vec<Axis> = (0..rank)
            .map(|axis| {
                let drawn = random.pick(&[1, 1, 2, 3, 4, 5, 6]);
                let symbol = match random.below(5) {
                    0 => None,
                    // Axes of one name have one size.
                    1 => Some((format!("same{drawn}"), true)),
                    2 => Some((format!("x{index}.{axis}"), false)),
                    _ => Some((format!("own{index}_{axis}"), true)),
                };
                let named = symbol.as_ref().is_some_and(|(_, named)| *named);
                Axis { symbol: symbol.map(|(symbol, _)| symbol), named, drawn }
            })
            .collect();
        let name = format!("x{index}");
        self.lines.push(format!("{name} {:?}", axes.iter().map(Axis::declared).collect::<Vec<_>>()));
        self.shapes.insert(name, axes.iter().map(|axis| axis.drawn).collect());
        self.inputs.push(axes);
    }

    /// Sizes of a run: those of the drawing first, then others.
    pub fn sizes(&self, random: &mut Random, turn: usize) -> BTreeMap<String, usize> {
        let mut sizes = BTreeMap::new();
        for axis in self.inputs.iter().flatten() {
            if let Some(symbol) = &axis.symbol {
                let other = random.pick(&[1, 1, 2, 3, 4, 5, 7, axis.drawn, axis.drawn, axis.drawn, 0]);
                sizes.entry(symbol.clone()).or_insert(if turn == 0 { axis.drawn } else { other });
            }
        }
        sizes
    }

    pub fn text(&self) -> String {
        self.lines.join("\n  ")
    }

    /// An output whose rank the file does not declare.
    pub fn open_output(name: &str) -> Message {
        Message::new().text(1, name).message(2, &Message::new().message(1, &Message::new().int(1, FLOAT)))
    }

    fn fresh(&mut self) -> String {
        self.count += 1;
        format!("v{}", self.count)
    }

    fn any(&self, random: &mut Random) -> (String, Vec<usize>) {
        let names: Vec<&String> = self.shapes.keys().collect();
        let name = names[random.below(names.len())].clone();
        let shape = self.shapes[&name].clone();
        (name, shape)
    }

    fn constant(&mut self, values: &[i64]) -> String {
        let name = self.fresh();
        self.draft.initializers.push(integers(&name, &[values.len() as i64], values));
        self.lines.push(format!("{name} = {values:?}"));
        name
    }

    fn weights(&mut self, random: &mut Random, shape: &[usize]) -> String {
        let name = self.fresh();
        let numbers: Vec<f32> =
            (0..shape.iter().product()).map(|_| random.between(-8, 8) as f32 / 4.0 + 0.125).collect();
        let dims: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        self.draft.initializers.push(floats(&name, &dims, &numbers));
        self.lines.push(format!("{name} = weights {shape:?}"));
        name
    }

    /// Adds a node; `attributes` come with their text.
    fn node(&mut self, op: &str, inputs: &[&str], outputs: usize, attributes: Vec<(String, Message)>) -> Vec<String> {
        let names: Vec<String> = (0..outputs).map(|_| self.fresh()).collect();
        let refs: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut message = node(op, &names[0], inputs, &refs);
        let mut text = String::new();
        for (what, attribute) in attributes {
            message = message.message(5, &attribute);
            text.push_str(&format!(" {what}"));
        }
        self.draft.nodes.push(message);
        self.lines.push(format!("{} = {op}({}){text}", names.join(", "), inputs.join(", ")));
        names
    }

    fn one(&mut self, op: &str, inputs: &[&str], attributes: Vec<(String, Message)>) -> String {
        self.node(op, inputs, 1, attributes).remove(0)
    }

    /// The size of an axis as a run computes it, of shape `[1]`.
    fn size_of(&mut self, name: &str, axis: usize) -> String {
        let shape = self.one("Shape", &[name], vec![]);
        let index = self.constant(&[axis as i64]);
        self.one("Gather", &[&shape, &index], vec![])
    }

    /// Draws a node or a few; they are dropped again if they do not fit the drawn sizes.
    fn step(&mut self, random: &mut Random) {
        let before = (self.draft.clone(), self.lines.clone());
        let names = self.draw(random);
        let names = names.unwrap_or_default();
        let fits = names.iter().map(|name| self.shape_of(name)).collect::<Option<Vec<_>>>();
        match fits {
            Some(shapes) if !names.is_empty() => {
                for (name, shape) in names.into_iter().zip(shapes) {
                    self.shapes.insert(name.clone(), shape);
                    self.values.push(name);
                }
            }
            _ => (self.draft, self.lines) = before,
        }
    }

    /// The shape of a value for the drawn sizes, if the graph fits them and it is not too large.
    fn shape_of(&self, name: &str) -> Option<Vec<usize>> {
        let mut draft = self.draft.clone();
        for (index, axes) in self.inputs.iter().enumerate() {
            let dims: Vec<String> = axes.iter().map(|axis| axis.drawn.to_string()).collect();
            let dims: Vec<&str> = dims.iter().map(String::as_str).collect();
            draft = draft.input(value(&format!("x{index}"), FLOAT, &dims));
        }
        let model = Model::from_bytes(&draft.output(Self::open_output(name)).bytes()).ok()?;
        let graph = model.graph();
        let shape = Shape::as_fixed(&graph.fact(graph.outputs()[0]).shape)?;
        (shape.len() <= 5 && shape.iter().product::<usize>() <= 2000).then_some(shape)
    }

    fn draw(&mut self, random: &mut Random) -> Option<Vec<String>> {
        let (x, shape) = self.any(random);
        let rank = shape.len();
        let axis = if rank == 0 { 0 } else { random.below(rank) };
        let signed = |random: &mut Random, axis: usize, rank: usize| match random.one_in(3) {
            true => axis as i64 - rank as i64,
            false => axis as i64,
        };
        let attribute = |name: &str, number: i64| (format!("{name}={number}"), int(name, number));
        let list = |name: &str, numbers: &[i64]| (format!("{name}={numbers:?}"), ints(name, numbers));
        match random.below(19) {
            _ if rank == 0 => {
                let axes = self.constant(&[0]);
                Some(vec![self.one("Unsqueeze", &[&x, &axes], vec![])])
            }
            0 => {
                let ones: Vec<usize> = (0..rank).filter(|&axis| shape[axis] == 1).collect();
                let axis = if ones.is_empty() { return None } else { random.pick(&ones) };
                let axes = self.constant(&[signed(random, axis, rank)]);
                Some(vec![self.one("Squeeze", &[&x, &axes], vec![])])
            }
            1 => {
                let added = random.below(rank + 1);
                let axes = self.constant(&[signed(random, added, rank + 1)]);
                Some(vec![self.one("Unsqueeze", &[&x, &axes], vec![])])
            }
            2 | 3 => {
                let axes = self.constant(&[signed(random, axis, rank)]);
                let step = random.pick(&[1, 1, 1, 2, 3, -1, -1, -2]);
                let edge = [-100, -5, -3, -2, -1, 0, 0, 1, 2, 3, 5, 100, i64::MAX, i64::MIN + 1];
                let (start, end) = (random.pick(&edge), random.pick(&edge));
                let (start, steps) = (self.constant(&[start]), self.constant(&[step]));
                let end = match random.one_in(3) {
                    true => {
                        let (other, shape) = self.any(random);
                        if shape.is_empty() {
                            return None;
                        }
                        let size = self.size_of(&other, random.below(shape.len()));
                        let by = self.constant(&[random.pick(&[1, 2, -1])]);
                        let op = random.pick(&["Mul", "Add", "Sub"]);
                        self.one(op, &[&size, &by], vec![])
                    }
                    false => self.constant(&[end]),
                };
                Some(vec![self.one("Slice", &[&x, &start, &end, &axes, &steps], vec![])])
            }
            4 => {
                let count = random.pick(&[2, 2, 3]);
                let mut attributes = vec![attribute("axis", signed(random, axis, rank))];
                if self.draft.opset >= 18 {
                    attributes.push(attribute("num_outputs", count as i64));
                }
                Some(self.node("Split", &[&x], count, attributes))
            }
            5 => {
                let (first, all) = (random.below(shape[axis] + 1), shape[axis]);
                let parts = self.constant(&[first as i64, (all - first) as i64]);
                Some(self.node("Split", &[&x, &parts], 2, vec![attribute("axis", axis as i64)]))
            }
            6 | 7 => self.reshape(random, &x, &shape),
            8 => {
                let (other, _) = self.any(random);
                let to = self.one("Shape", &[&other], vec![]);
                Some(vec![self.one("Expand", &[&x, &to], vec![])])
            }
            9 => {
                let repeats: Vec<i64> = (0..rank).map(|_| random.pick(&[1, 1, 2, 3, 0])).collect();
                let repeats = self.constant(&repeats);
                Some(vec![self.one("Tile", &[&x, &repeats], vec![])])
            }
            10 => {
                let (other, _) = self.any(random);
                Some(vec![self.one("Concat", &[&x, &other], vec![attribute("axis", signed(random, axis, rank))])])
            }
            11 => {
                let indices = self.constant(&random.pick(&[vec![0], vec![-1], vec![0, 0, -1], vec![1, 0], vec![]]));
                Some(vec![self.one("Gather", &[&x, &indices], vec![attribute("axis", signed(random, axis, rank))])])
            }
            12 => {
                let pads: Vec<i64> = (0..2 * rank).map(|_| random.pick(&[0, 0, 0, 1, 2, -1])).collect();
                let pads = self.constant(&pads);
                let mode = random.pick(&["constant", "edge"]);
                let text = Message::new().text(1, "mode").int(20, 3).text(4, mode);
                Some(vec![self.one("Pad", &[&x, &pads], vec![(mode.to_owned(), text)])])
            }
            13 => {
                let mut order: Vec<i64> = (0..rank as i64).collect();
                for index in (1..rank).rev() {
                    order.swap(index, random.below(index + 1));
                }
                Some(vec![self.one("Transpose", &[&x], vec![list("perm", &order)])])
            }
            14 => Some(vec![self.one("Flatten", &[&x], vec![attribute("axis", random.between(0, rank as i64))])]),
            15 => {
                let (other, _) = self.any(random);
                let op = random.pick(&["Add", "Mul", "Sub", "Max"]);
                Some(vec![self.one(op, &[&x, &other], vec![])])
            }
            16 => self.window(random, &x, &shape),
            17 => {
                let from = self.one("Shape", &[&x], vec![]);
                let op = random.pick(&["ConstantOfShape", "Cast", "Range"]);
                Some(vec![match op {
                    "ConstantOfShape" => self.one("ConstantOfShape", &[&from], vec![]),
                    "Cast" => self.one("Cast", &[&from], vec![attribute("to", FLOAT)]),
                    _ => {
                        let size = self.size_of(&x, axis);
                        let scalar = self.constant_scalar(random.between(-1, 2));
                        let step = self.constant_scalar(random.pick(&[1, 1, 2, -1]));
                        let none = self.constant(&[]);
                        let limit = self.one("Reshape", &[&size, &none], vec![]);
                        let range = self.one("Range", &[&scalar, &limit, &step], vec![]);
                        self.one("Cast", &[&range], vec![attribute("to", FLOAT)])
                    }
                }])
            }
            _ => {
                let op = random.pick(&["ReduceMean", "Softmax", "MatMul", "BatchNormalization"]);
                match op {
                    "ReduceMean" => Some(vec![self.one(op, &[&x], vec![attribute("keepdims", random.between(0, 1))])]),
                    "Softmax" => Some(vec![self.one(op, &[&x], vec![attribute("axis", axis as i64)])]),
                    "MatMul" if random.one_in(2) => {
                        let w = self.weights(random, &[shape[rank - 1], 3]);
                        Some(vec![self.one(op, &[&x, &w], vec![])])
                    }
                    "MatMul" => {
                        let (other, _) = self.any(random);
                        Some(vec![self.one(op, &[&x, &other], vec![])])
                    }
                    _ if rank < 2 => None,
                    _ => {
                        let channels = shape[1];
                        let three = [0; 3].map(|_| self.weights(random, &[channels]));
                        let variance = self.fresh();
                        let ones = vec![1.5; channels];
                        self.draft.initializers.push(floats(&variance, &[channels as i64], &ones));
                        let inputs = [x.as_str(), &three[0], &three[1], &three[2], &variance];
                        Some(vec![self.one(op, &inputs, vec![])])
                    }
                }
            }
        }
    }

    fn constant_scalar(&mut self, number: i64) -> String {
        let name = self.fresh();
        self.draft.initializers.push(integers(&name, &[], &[number]));
        self.lines.push(format!("{name} = {number}"));
        name
    }

    /// A reshape that merges neighbouring axes, by a shape that a run computes.
    fn reshape(&mut self, random: &mut Random, x: &str, shape: &[usize]) -> Option<Vec<String>> {
        let rank = shape.len();
        let mut parts = Vec::new();
        let (mut axis, mut inferred) = (0, false);
        while axis < rank {
            let count = 1 + random.below((rank - axis).min(3));
            let part = match random.below(5) {
                0 if !inferred => {
                    inferred = true;
                    self.constant(&[-1])
                }
                1 if count == 1 && parts.len() == axis => self.constant(&[0]),
                2 => self.constant(&[shape[axis..axis + count].iter().product::<usize>() as i64]),
                _ => {
                    let mut product = self.size_of(x, axis);
                    for other in axis + 1..axis + count {
                        let size = self.size_of(x, other);
                        product = self.one("Mul", &[&product, &size], vec![]);
                    }
                    product
                }
            };
            parts.push(part);
            axis += count;
        }
        if random.one_in(4) {
            let one = self.constant(&[1]);
            parts.insert(random.below(parts.len() + 1), one);
        }
        if random.one_in(3) && parts.len() > 1 {
            parts.swap(0, 1);
        }
        let refs: Vec<&str> = parts.iter().map(String::as_str).collect();
        let to = self.one("Concat", &refs, vec![("axis=0".into(), int("axis", 0))]);
        Some(vec![self.one("Reshape", &[x, &to], vec![])])
    }

    /// A convolution or a pool.
    fn window(&mut self, random: &mut Random, x: &str, shape: &[usize]) -> Option<Vec<String>> {
        let rank = shape.len().checked_sub(2).filter(|rank| (1..=2).contains(rank))?;
        let kernel: Vec<i64> = (0..rank).map(|_| random.between(1, 3)).collect();
        let strides: Vec<i64> = (0..rank).map(|_| random.between(1, 2)).collect();
        let most = kernel.iter().copied().min().unwrap_or(1) - 1;
        let pads: Vec<i64> = (0..2 * rank).map(|_| random.between(0, most)).collect();
        let list = |name: &str, numbers: &[i64]| (format!("{name}={numbers:?}"), ints(name, numbers));
        let mut attributes = vec![list("kernel_shape", &kernel), list("strides", &strides), list("pads", &pads)];
        let op = random.pick(&["Conv", "Conv", "MaxPool", "AveragePool"]);
        if op == "Conv" {
            let mut of = vec![2, shape[1]];
            of.extend(kernel.iter().map(|&size| size as usize));
            let weights = self.weights(random, &of);
            return Some(vec![self.one(op, &[x, &weights], attributes)]);
        }
        let ceil = random.between(0, 1);
        attributes.push((format!("ceil_mode={ceil}"), int("ceil_mode", ceil)));
        Some(vec![self.one(op, &[x], attributes)])
    }
}
