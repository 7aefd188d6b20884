//! The search for an encoder's tensors by their names.

use std::ops::Range;

use crate::import::hugging_face::{
    config::{Config, Convolution, Disentangled, Family, MixedExperts, NormKind, Patches, Placement},
    encoder::{
        self,
        adapter::{ADAPTED, Adapter, Table},
        names::{self, CrossNames, Names, UNUSED},
        tensors::{Affine, ConvolutionTensors, Cross, ExpertTensors, Factors, Layer, Norm, PatchTensors, Tensors},
    },
    problems::Problems,
    weights::{Found, Weights},
};

/// Finds the tensors of the encoder; a missing or misshapen tensor is a problem, and one that is neither used nor one of
/// `others`.
pub(in crate::import::hugging_face) fn resolve(
    config: &Config,
    weights: &Weights,
    others: &[&str],
    problems: &mut Problems,
) -> Tensors {
    let names = names::of(config, weights);
    let prefix = encoder::prefix(config, weights);
    let used = others.iter().map(|name| (*name).to_owned()).collect();
    let mut finder = Finder { prefix, names, config, weights, problems, used };
    let mut tensors = finder.all();
    if let Some(decoder) = &config.decoder {
        (finder.config, finder.names) = (&decoder.config, names::of(&decoder.config, weights));
        tensors.decoder = Some(Box::new(finder.all()));
    }
    finder.refuse_others(config.decoder.is_some());
    tensors
}

/// Finds tensors by name and records the names it has used.
struct Finder<'a> {
    prefix: &'a str,
    names: &'static Names,
    config: &'a Config,
    weights: &'a Weights,
    problems: &'a mut Problems,
    used: Vec<String>,
}

impl Finder<'_> {
    /// The tensors of an encoder or a decoder.
    fn all(&mut self) -> Tensors {
        let (config, names) = (self.config, self.names);
        let (hidden, width) = (config.hidden, config.embedding.unwrap_or(config.hidden));
        let projects_first = config.projects_first();
        let words: Vec<_> = names.all_words().collect();
        Tensors {
            words: config.patches.is_none().then(|| self.table(&words, config.vocabulary, width)),
            patches: config.patches.map(|patches| self.patches(patches)),
            positions: config.position_rows.map(|rows| self.positions(&[rows, width])),
            token_types: config.token_types.map(|rows| self.table(&[names.token_types], rows, width)),
            task_types: config.task_types.map(|rows| self.tensor(&[names.task_types], &[rows, width])),
            norm: names.embedding_norm.map(|name| self.norm(name, if projects_first { hidden } else { width })),
            projection: config.embedding.map(|width| self.affine(names.projection, width, hidden, !projects_first)),
            relative: match (config.relative, config.disentangled) {
                (Some(relative), _) => {
                    (!relative.in_each_layer).then(|| self.tensor(&[names.relative], &[relative.buckets, config.heads]))
                }
                (None, Some(positions)) => Some(self.tensor(&[names.relative], &[2 * positions.span, hidden])),
                (None, None) => None,
            },
            relative_norm: config
                .disentangled
                .filter(|positions| positions.normed)
                .map(|_| self.norm(names.relative_norm, hidden)),
            layers: (0..config.groups).map(|index| self.layer(index)).collect(),
            final_norm: (config.placement != Placement::After).then(|| self.norm(names.final_norm, hidden)),
            convolution: config.convolution.map(|own| self.convolution(own)),
            decoder: None,
        }
    }

    /// The table of positions, which some files hold as the table of one item.
    fn positions(&mut self, shape: &[usize]) -> Found {
        let own = format!("{}{}", self.prefix, self.names.positions);
        match self.weights.shape(&own) {
            Some(&[1, ..]) if self.config.patches.is_some() => {
                self.tensor(&[self.names.positions], &[&[1], shape].concat())
            }
            _ => self.tensor(&[self.names.positions], shape),
        }
    }

    fn patches(&mut self, patches: Patches) -> PatchTensors {
        let (hidden, names) = (self.config.hidden, self.names);
        let bias = names.words.replace("weight", "bias");
        let alone = format!("{}{}", self.prefix, names.class);
        let class: &[usize] =
            if self.weights.shape(&alone).is_some_and(|own| own.len() == 3) { &[1, 1, hidden] } else { &[hidden] };
        PatchTensors {
            weight: self.tensor(&[names.words], &[hidden, 3, patches.size[0], patches.size[1]]),
            bias: patches.bias.then(|| self.tensor(&[&bias], &[hidden])),
            class: patches.class.then(|| self.tensor(&[names.class], class)),
            registers: (patches.registers > 0)
                .then(|| self.tensor(&["embeddings.register_tokens"], &[1, patches.registers, hidden])),
        }
    }

    fn layer(&mut self, index: usize) -> Layer {
        let names = self.names;
        let biases = names.biases;
        let Config { hidden, heads, key_heads, head_dim, intermediate, placement, gated, .. } = *self.config;
        let layer = names.layer.replace("{}", &index.to_string());
        let name = |part: &str| format!("{layer}{part}");
        let widths = [heads * head_dim, key_heads * head_dim, key_heads * head_dim];
        let qkv = match names.qkv {
            [joined] if self.config.family == Family::Deberta => self.heads_in_turn(&name(joined), &layer),
            [joined] => vec![self.affine(&name(joined), hidden, widths.iter().sum(), biases.qkv)],
            parts => parts
                .iter()
                .zip(widths)
                .map(|(part, width)| self.affine(&name(part), hidden, width, biases.qkv))
                .collect(),
        };
        let is_mixed = self.config.experts.filter(|own| index % own.every == 1);
        let experts = is_mixed.map(|own| self.experts(&layer, own));
        let (up, gate) = match (names.up, gated) {
            _ if is_mixed.is_some() => (None, None),
            ([up, gate], true) => {
                let up = self.affine(&name(up), hidden, intermediate, biases.up);
                (Some(up), Some(self.affine(&name(gate), hidden, intermediate, biases.up)))
            }
            ([joined], true) => {
                let whole = self.affine(&name(joined), hidden, 2 * intermediate, biases.up);
                let part = |rows: Range<usize>| Affine {
                    weight: whole.weight.clone(),
                    rows: rows.clone(),
                    bias: whole.bias.clone(),
                    bias_rows: rows,
                    factors: None,
                };
                let halves = [part(0..intermediate), part(intermediate..2 * intermediate)];
                let [first, last] = halves;
                if names.activated_last { (Some(last), Some(first)) } else { (Some(first), Some(last)) }
            }
            (parts, _) => (Some(self.affine(&name(parts[0]), hidden, intermediate, biases.up)), None),
        };
        let (to_keys, to_queries) = match self.config.disentangled {
            Some(Disentangled { to_keys, to_queries, shared: false, .. }) => (to_keys, to_queries),
            _ => (false, false),
        };
        let [keys, queries] = names.position_parts;
        let position_parts = [(to_keys, keys, biases.position_keys), (to_queries, queries, true)]
            .map(|(wanted, part, bias)| wanted.then(|| self.affine(&name(part), hidden, hidden, bias)));
        let around = placement == Placement::Around;
        // ModernBERT normalizes the embeddings once, for the first layer too.
        let first = index == 0 && self.config.family == Family::ModernBert && names.embedding_norm.is_some();
        let mut attention = self.affine(&name(names.attention), heads * head_dim, hidden, biases.attention);
        let mut up = up;
        let mut down = up.is_some().then(|| self.affine(&name(names.down), intermediate, hidden, biases.down));
        let factor = self.config.activation_factor;
        let factors = |whole, columns| Some(Box::new(Factors { whole, columns, adapter: None }));
        if factor != 1.0 {
            up.iter_mut().for_each(|up| up.factors = factors([factor; 2], None));
            down.iter_mut().for_each(|down| down.factors = factors([factor.recip(), 1.0], None));
        }
        if self.config.scaled_halves {
            let [first, second] = names.column_factors.map(|part| self.tensor(&[&name(part)], &[hidden]));
            attention.factors = factors([1.0; 2], Some(first));
            down.iter_mut().for_each(|down| down.factors = factors([factor.recip(), 1.0], Some(second.clone())));
        }
        let relative = self.config.relative.filter(|own| own.in_each_layer);
        let relative = relative.map(|own| self.tensor(&[&name(names.layer_relative)], &[own.buckets, heads]));
        Layer {
            qkv,
            position_parts,
            relative,
            attention,
            attention_norm: (!first).then(|| self.norm(&name(names.attention_norm), hidden)),
            attention_result_norm: around.then(|| self.norm(&name(names.attention_result_norm), hidden)),
            head_norms: self
                .config
                .normed_heads
                .then(|| names.head_norms.map(|part| self.tensor(&[&name(&format!("{part}.weight"))], &[head_dim]))),
            cross: names.cross.as_ref().map(|cross| Box::new(self.cross(&layer, cross))),
            wide_norms: names.wide_norms.map(|parts| parts.map(|part| self.norm(&name(part), hidden))),
            second_norm: names.second_norm.map(|part| self.norm(&name(part), hidden)),
            up,
            gate,
            down,
            experts,
            norm: self.norm(&name(names.norm), hidden),
            result_norm: around.then(|| self.norm(&name(names.result_norm), hidden)),
        }
    }

    fn tensor(&mut self, names: &[&str], shape: &[usize]) -> Found {
        let names: Vec<_> = names.iter().map(|name| format!("{}{name}", self.prefix)).collect();
        let found = self.weights.find(&names, shape, self.problems);
        self.used.push(found.name().to_owned());
        found
    }

    fn affine(&mut self, name: &str, inputs: usize, outputs: usize, bias: bool) -> Affine {
        let adapted = format!("{name}{ADAPTED}original");
        let names: &[&str] = if self.config.adapters.is_some() { &[&adapted] } else { &[&format!("{name}.weight")] };
        let weight = self.tensor(names, &[outputs, inputs]);
        let adapter = self.adapter(name, [inputs, outputs], false);
        Affine {
            weight,
            rows: 0..outputs,
            bias: bias.then(|| self.tensor(&[&format!("{name}.bias")], &[outputs])),
            bias_rows: 0..outputs,
            factors: adapter
                .map(|adapter| Box::new(Factors { whole: [1.0; 2], columns: None, adapter: Some(adapter) })),
        }
    }

    /// A table of vectors.
    fn table(&mut self, names: &[&str], rows: usize, width: usize) -> Table {
        if self.config.adapters.is_none() {
            return Table { found: self.tensor(names, &[rows, width]), adapter: None };
        }
        let name = names[0].strip_suffix(".weight").unwrap_or_default();
        let found = self.tensor(&[&format!("{name}{ADAPTED}original")], &[rows, width]);
        Table { found, adapter: self.adapter(name, [rows, width], true) }
    }

    /// The matrices that are multiplied and added to a weight for the chosen task.
    fn adapter(&mut self, name: &str, [inputs, outputs]: [usize; 2], is_table: bool) -> Option<Adapter> {
        let config = self.config;
        let own = config.adapters.as_ref()?;
        let (count, rank) = (own.tasks.len(), own.rank);
        let [first, second] = match is_table {
            true => [[count, inputs, rank], [count, rank, outputs]],
            false => [[count, rank, inputs], [count, outputs, rank]],
        };
        let first = self.tensor(&[&format!("{name}{ADAPTED}0.lora_A")], &first);
        let second = self.tensor(&[&format!("{name}{ADAPTED}0.lora_B")], &second);
        Some(Adapter { first, second, task: own.chosen?, scale: own.scale, is_table })
    }

    /// Queries, keys and values whose rows stand head by head; keys have no bias.
    fn heads_in_turn(&mut self, joined: &str, layer: &str) -> Vec<Affine> {
        let Config { hidden, heads, head_dim, .. } = *self.config;
        let weight = self.tensor(&[&format!("{joined}.weight")], &[3 * hidden, hidden]);
        let [query, value] =
            ["q_bias", "v_bias"].map(|part| self.tensor(&[&format!("{layer}attention.self.{part}")], &[hidden]));
        let biases = [Some(query), None, Some(value)];
        let piece = |part: usize, head: usize| {
            let start = (3 * head + part) * head_dim;
            Affine {
                weight: weight.clone(),
                rows: start..start + head_dim,
                bias: biases[part].clone(),
                bias_rows: head * head_dim..(head + 1) * head_dim,
                factors: None,
            }
        };
        (0..3).flat_map(|part| (0..heads).map(move |head| (part, head))).map(|(part, head)| piece(part, head)).collect()
    }

    fn cross(&mut self, layer: &str, names: &CrossNames) -> Cross {
        let Config { hidden, heads, head_dim, .. } = *self.config;
        let (width, biases) = (heads * head_dim, self.names.biases);
        let name = |part: &str| format!("{layer}{part}");
        Cross {
            query: self.affine(&name(names.query), hidden, width, biases.qkv),
            memory: names.memory.map(|part| self.affine(&name(part), hidden, width, biases.qkv)).into(),
            attention: self.affine(&name(names.attention), width, hidden, biases.attention),
            norm: self.norm(&name(names.norm), hidden),
        }
    }

    fn experts(&mut self, layer: &str, own: MixedExperts) -> ExpertTensors {
        let Config { hidden, intermediate, .. } = *self.config;
        let name = |part: &str| format!("{layer}mlp.{part}");
        let all = own.count.saturating_mul(intermediate);
        ExpertTensors {
            router: self.affine(&name("router.layer"), hidden, own.count, false),
            up: self.tensor(&[&name("experts.mlp.w1")], &[all, hidden]),
            down: self.tensor(&[&name("experts.mlp.w2")], &[all, hidden]),
            bias: self.tensor(&[&name("experts.bias")], &[hidden]),
        }
    }

    fn convolution(&mut self, own: Convolution) -> ConvolutionTensors {
        let hidden = self.config.hidden;
        let name = |part: &str| format!("encoder.conv.{part}");
        ConvolutionTensors {
            weight: self.tensor(&[&name("conv.weight")], &[hidden, hidden / own.groups, own.kernel]),
            bias: self.tensor(&[&name("conv.bias")], &[hidden]),
            norm: self.norm(&name("LayerNorm"), hidden),
        }
    }

    /// Finds a norm; files converted from TensorFlow name scale and bias gamma and beta.
    fn norm(&mut self, name: &str, size: usize) -> Norm {
        let has_bias = self.config.norm == NormKind::Layer;
        Norm {
            scale: self.tensor(&[&format!("{name}.weight"), &format!("{name}.gamma")], &[size]),
            bias: has_bias.then(|| self.tensor(&[&format!("{name}.bias"), &format!("{name}.beta")], &[size])),
        }
    }

    fn refuse_others(mut self, has_decoder: bool) {
        self.used.sort_unstable();
        for name in
            self.weights.names().filter(|name| self.used.binary_search_by(|used| used.as_str().cmp(name)).is_err())
        {
            let own = name.strip_prefix(self.prefix).unwrap_or(name);
            // transformers leaves the table unread where positions are relative alone, or angles.
            let is_esm = matches!(self.config.family, Family::Esm | Family::EsmNormed);
            let is_other = self.names.others.iter().any(|other| own.starts_with(other))
                || (is_esm && own.ends_with("rotary_embeddings.inv_freq"));
            let no_positions = (self.config.projects_first() || is_esm) && own == self.names.positions;
            let is_unused = |unused: &&str| own.starts_with(unused) && !(has_decoder && *unused == names::DECODER);
            if !no_positions && !is_other && !UNUSED.iter().any(is_unused) {
                self.problems
                    .add(|| format!("the tensor `{name}` has no place in the model that config.json describes"));
            }
        }
    }
}
