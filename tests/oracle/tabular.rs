//! Operators on tables: trees, linear models, support vectors, and what prepares tables.

use gristmill::{
    DType, Tensor,
    testing::{
        kernels::trees::{Child, Split, Test},
        op::Operator,
        ops::tabular::{
            Aggregate, Labels, PostTransform, SvmKernel, Trees,
            binarizer::Binarizer,
            c_dist::CDist,
            feature_vectorizer::FeatureVectorizer,
            imputer::Imputer,
            label_encoder::LabelEncoder,
            linear_classifier::LinearClassifier,
            linear_regressor::LinearRegressor,
            map_row::{Columns, MapRow},
            normalizer::{Norm, Normalizer},
            one_hot_encoder::OneHotEncoder,
            scaler::Scaler,
            svm_classifier::SvmClassifier,
            svm_regressor::SvmRegressor,
            tree_ensemble_classifier::{Scores, TreeEnsembleClassifier},
            tree_ensemble_regressor::TreeEnsembleRegressor,
            trees::cases,
        },
    },
};

use super::{
    Oracle, input, op, pick,
    pointwise::{floats, of_floats, of_integers},
};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("ai.onnx.ml.ArrayFeatureExtractor", array_feature_extractor),
    ("ai.onnx.ml.Binarizer", binarizer),
    ("ai.onnx.ml.DictVectorizer", map_row),
    ("ai.onnx.ml.FeatureVectorizer", feature_vectorizer),
    ("ai.onnx.ml.Imputer", imputer),
    ("ai.onnx.ml.LabelEncoder", label_encoder),
    ("ai.onnx.ml.LinearClassifier", linear_classifier),
    ("ai.onnx.ml.LinearRegressor", linear_regressor),
    ("ai.onnx.ml.Normalizer", normalizer),
    ("ai.onnx.ml.OneHotEncoder", one_hot_encoder),
    ("ai.onnx.ml.SVMClassifier", svm_classifier),
    ("ai.onnx.ml.SVMRegressor", svm_regressor),
    ("ai.onnx.ml.Scaler", scaler),
    ("ai.onnx.ml.TreeEnsemble", tree_regressor),
    ("ai.onnx.ml.TreeEnsembleClassifier", tree_classifier),
    ("ai.onnx.ml.TreeEnsembleRegressor", tree_regressor),
    ("com.microsoft.CDist", c_dist),
    ("ai.onnx.ml.ZipMap", |_, inputs| vec![input(inputs, 0).clone()]),
];

/// The numbers of a tensor of any type.
fn numbers(tensor: &Tensor) -> Vec<f64> {
    match tensor.dtype().is_float() {
        true => floats(tensor),
        false => tensor.to_i64().unwrap().into_iter().map(|number| number as f64).collect(),
    }
}

/// The numbers of a table in single precision, row by row; a vector is one row.
fn rows(tensor: &Tensor) -> Vec<Vec<f64>> {
    let single = numbers(tensor).into_iter().map(|number| f64::from(number as f32)).collect();
    cut(single, tensor.shape())
}

fn cut(numbers: Vec<f64>, shape: &[usize]) -> Vec<Vec<f64>> {
    let columns = *shape.last().unwrap();
    numbers.chunks(columns).map(<[f64]>::to_vec).collect()
}

fn table(rows: &[Vec<f64>], columns: usize) -> Tensor {
    of_floats(DType::F32, &[rows.len(), columns], &rows.concat())
}

fn labels_of(labels: &Labels, classes: &[usize]) -> Tensor {
    match labels {
        Labels::Integers(all) => {
            Tensor::new([classes.len()], &classes.iter().map(|&class| all[class]).collect::<Vec<_>>())
        }
        Labels::Strings(all) => {
            let texts: Vec<&String> = classes.iter().map(|&class| &all[class]).collect();
            Tensor::from_strings([classes.len()], &texts)
        }
    }
    .unwrap()
}

/// The first of the largest.
fn largest(scores: &[f64]) -> usize {
    (1..scores.len()).fold(0, |best, class| if scores[class] > scores[best] { class } else { best })
}

fn transformed(transform: PostTransform, scores: &[f64]) -> Vec<f64> {
    let logistic = |x: &f64| 1.0 / (1.0 + (-x).exp());
    let softmax = |counts: &dyn Fn(f64) -> bool| -> Vec<f64> {
        let powers: Vec<f64> = scores.iter().map(|&x| if counts(x) { x.exp() } else { 0.0 }).collect();
        let sum: f64 = powers.iter().sum();
        powers.iter().map(|power| if sum > 0.0 { power / sum } else { *power }).collect()
    };
    match transform {
        PostTransform::None => scores.to_vec(),
        PostTransform::Logistic => scores.iter().map(logistic).collect(),
        PostTransform::Softmax => softmax(&|_| true),
        PostTransform::SoftmaxZero => softmax(&|x| x != 0.0),
        PostTransform::Probit => scores.iter().map(|&x| probit(x)).collect(),
    }
}

/// The formula of ONNX Runtime, which approximates the inverse of the error function.
fn probit(x: f64) -> f64 {
    let x = 2.0 * x - 1.0;
    let log = (1.0 - x * x).ln();
    let half = 2.0 / (std::f64::consts::PI * 0.147) + 0.5 * log;
    let root = (-half + (half * half - log / 0.147).sqrt()).sqrt();
    std::f64::consts::SQRT_2 * if x < 0.0 { -root } else { root }
}

/// What the forest of the cases gives a row: for each target the weights of the leaves that it reaches.
fn weights(trees: &Trees, row: &[f64], targets: usize) -> Vec<Vec<f64>> {
    fn walk<T: Copy + Into<f64>>(splits: &[Split<T>], mut at: Child, row: &[f64]) -> usize {
        loop {
            let split = match at {
                Child::Leaf(leaf) => return leaf,
                Child::Split(split) => &splits[split],
            };
            let x = row[split.feature];
            let passes = match &split.test {
                Test::AtMost(most) => x <= (*most).into(),
                Test::Equal(other) => x == (*other).into(),
                Test::Member(set) => set.iter().any(|&member| x == member.into()),
            };
            at = if passes || (x.is_nan() && split.missing_left) { split.left } else { split.right };
        }
    }
    let reached: Vec<usize>;
    let leaves;
    match trees {
        Trees::F32(_) => {
            let (splits, roots, own) = cases::parts(cases::THRESHOLDS, targets);
            reached = roots.iter().map(|&root| walk(&splits, root, row)).collect();
            leaves = own;
        }
        Trees::F64(_) => {
            let (splits, roots, own) = cases::parts(cases::THRESHOLDS.map(f64::from), targets);
            reached = roots.iter().map(|&root| walk(&splits, root, row)).collect();
            leaves = own;
        }
    }
    let of = |target: usize| {
        let own = reached.iter().flat_map(|&leaf| leaves[leaf].iter());
        own.filter(|(other, _)| *other == target).map(|(_, weight)| *weight).collect()
    };
    (0..targets).map(of).collect()
}

/// Rows in the precision in which trees compare them.
fn compared(trees: &Trees, tensor: &Tensor) -> Vec<Vec<f64>> {
    match trees {
        Trees::F32(_) => rows(tensor),
        Trees::F64(_) => cut(numbers(tensor), tensor.shape()),
    }
}

fn tree_regressor(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<TreeEnsembleRegressor>(operator);
    let trees = 5.0;
    let scores = compared(&own.trees, input(inputs, 0)).into_iter().map(|row| {
        let combined: Vec<f64> = weights(&own.trees, &row, own.targets)
            .iter()
            .enumerate()
            .map(|(target, weights)| {
                let combined = match own.aggregate {
                    Aggregate::Sum => weights.iter().sum(),
                    Aggregate::Average => weights.iter().sum::<f64>() / trees,
                    Aggregate::Min => weights.iter().copied().reduce(f64::min).unwrap_or(0.0),
                    Aggregate::Max => weights.iter().copied().reduce(f64::max).unwrap_or(0.0),
                };
                combined + own.base.get(target).unwrap_or(&0.0)
            })
            .collect();
        transformed(own.post_transform, &combined)
    });
    let scores: Vec<Vec<f64>> = scores.collect();
    vec![of_floats(own.to, &[scores.len(), own.targets], &scores.concat())]
}

fn tree_classifier(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<TreeEnsembleClassifier>(operator);
    let count = own.labels.len();
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    for row in compared(&own.trees, input(inputs, 0)) {
        let sums: Vec<f64> = weights(&own.trees, &row, count).iter().map(|weights| weights.iter().sum()).collect();
        let base = |class: usize| own.base.get(class).unwrap_or(&0.0);
        let (class, row) = match own.scores {
            Scores::Each => {
                let sums: Vec<f64> = sums.iter().enumerate().map(|(class, sum)| sum + base(class)).collect();
                (largest(&sums), sums)
            }
            Scores::Probability(class) => {
                let sum = sums[class] + base(0);
                (usize::from(sum > 0.5), vec![1.0 - sum, sum])
            }
            Scores::Sign(class) => {
                let sum = sums[class] + base(0);
                (usize::from(sum > 0.0), vec![-sum, sum])
            }
        };
        classes.push(class);
        scores.push(transformed(own.post_transform, &row));
    }
    vec![labels_of(&own.labels, &classes), table(&scores, count)]
}

fn sums(coefficients: &[f32], intercepts: &[f32], row: &[f64]) -> Vec<f64> {
    let weights = coefficients.chunks(row.len()).zip(intercepts);
    let sum = |weights: &[f32]| weights.iter().zip(row).map(|(&weight, x)| f64::from(weight) * x).sum::<f64>();
    weights.map(|(weights, &intercept)| sum(weights) + f64::from(intercept)).collect()
}

fn linear_regressor(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<LinearRegressor>(operator);
    let scores = rows(input(inputs, 0)).into_iter();
    let scores = scores.map(|row| transformed(own.post_transform, &sums(&own.coefficients, &own.intercepts, &row)));
    vec![table(&scores.collect::<Vec<_>>(), own.intercepts.len())]
}

fn linear_classifier(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<LinearClassifier>(operator);
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    for row in rows(input(inputs, 0)) {
        let sums = sums(&own.coefficients, &own.intercepts, &row);
        classes.push(if let [sum] = sums[..] { usize::from(sum > 0.0) } else { largest(&sums) });
        scores.push(match (&sums[..], own.post_transform) {
            (&[sum], PostTransform::Logistic) => transformed(PostTransform::Logistic, &[-sum, sum]),
            (&[sum], _) => vec![1.0 - sum, sum],
            _ => transformed(own.post_transform, &sums),
        });
    }
    vec![labels_of(&own.labels, &classes), table(&scores, own.labels.len())]
}

fn kernel(kernel: SvmKernel, row: &[f64], vector: &[f32]) -> f64 {
    let product: f64 = row.iter().zip(vector).map(|(x, &v)| x * f64::from(v)).sum();
    match kernel {
        SvmKernel::Linear => product,
        SvmKernel::Poly { gamma, coef0, degree } => {
            (f64::from(gamma) * product + f64::from(coef0)).powf(f64::from(degree))
        }
        SvmKernel::Rbf { gamma } => {
            let distance: f64 = row.iter().zip(vector).map(|(x, &v)| (x - f64::from(v)).powi(2)).sum();
            (-f64::from(gamma) * distance).exp()
        }
        SvmKernel::Sigmoid { gamma, coef0 } => (f64::from(gamma) * product + f64::from(coef0)).tanh(),
    }
}

fn svm_regressor(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<SvmRegressor>(operator);
    let scores = rows(input(inputs, 0)).into_iter().map(|row| {
        let mut sum = f64::from(own.rho);
        if own.vectors.is_empty() {
            sum += kernel(own.kernel, &row, &own.coefficients);
        }
        for (vector, &weight) in own.vectors.chunks(row.len()).zip(&own.coefficients) {
            sum += f64::from(weight) * kernel(own.kernel, &row, vector);
        }
        if own.one_class { vec![if sum > 0.0 { 1.0 } else { -1.0 }] } else { transformed(own.post_transform, &[sum]) }
    });
    vec![table(&scores.collect::<Vec<_>>(), 1)]
}

fn svm_classifier(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<SvmClassifier>(operator);
    let count = own.labels.len();
    let (mut classes, mut scores) = (Vec::new(), Vec::new());
    let mut columns = if count == 2 { 2 } else { count * (count - 1) / 2 };
    for row in rows(input(inputs, 0)) {
        if own.counts.is_empty() {
            let rho = vec![own.rho[0]; count];
            let sums = sums(&own.coefficients, &rho, &row);
            columns = count;
            classes.push(largest(&sums));
            scores.push(transformed(own.post_transform, &sums));
            continue;
        }
        let values: Vec<f64> = own.vectors.chunks(row.len()).map(|vector| kernel(own.kernel, &row, vector)).collect();
        // The class of each vector.
        let class_of: Vec<usize> =
            own.counts.iter().enumerate().flat_map(|(class, &count)| vec![class; count]).collect();
        let (mut votes, mut sums) = (vec![0.0; count], Vec::new());
        for first in 0..count {
            for second in first + 1..count {
                let mut sum = f64::from(own.rho[sums.len()]);
                for (vector, &class) in class_of.iter().enumerate() {
                    let line = if class == first { second - 1 } else { first };
                    if class == first || class == second {
                        sum += f64::from(own.coefficients[line * values.len() + vector]) * values[vector];
                    }
                }
                votes[if sum > 0.0 { first } else { second }] += 1.0;
                sums.push(sum);
            }
        }
        classes.push(largest(&votes));
        if !own.probabilities.is_empty() {
            columns = count;
            scores.push(coupled(&sums, &own.probabilities, count));
        } else if let [sum] = sums[..] {
            scores.push(vec![-sum, sum]);
        } else {
            scores.push(transformed(own.post_transform, &sums));
        }
    }
    vec![labels_of(&own.labels, &classes), table(&scores, columns)]
}

/// Probabilities of classes: those of least `sum (p(j, i) p[i] - p(i, j) p[j])^2`, to which the operator comes as near
/// as its bound asks, by the same steps.
fn coupled(sums: &[f64], coefficients: &[(f32, f32)], count: usize) -> Vec<f64> {
    let mut likely = vec![vec![0.0; count]; count];
    let pairs = (0..count).flat_map(|first| (first + 1..count).map(move |second| (first, second)));
    for (((first, second), &(a, b)), sum) in pairs.zip(coefficients).zip(sums) {
        let own: f64 = 1.0 / (1.0 + (sum * f64::from(a) + f64::from(b)).exp());
        likely[first][second] = own.clamp(1e-7, 1.0 - 1e-7);
        likely[second][first] = 1.0 - likely[first][second];
    }
    let q = |i: usize, j: usize| match i == j {
        true => (0..count).filter(|&other| other != i).map(|other| likely[other][i].powi(2)).sum::<f64>(),
        false => -likely[j][i] * likely[i][j],
    };
    let mut p = vec![1.0 / count as f64; count];
    for _ in 0..100 {
        let product = |p: &[f64], i: usize| (0..count).map(|j| q(i, j) * p[j]).sum::<f64>();
        let whole = |p: &[f64]| (0..count).map(|i| p[i] * product(p, i)).sum::<f64>();
        if (0..count).all(|i| (product(&p, i) - whole(&p)).abs() < 0.005 / count as f64) {
            break;
        }
        for i in 0..count {
            let change = (whole(&p) - product(&p, i)) / q(i, i);
            p[i] += change;
            p.iter_mut().for_each(|p| *p /= 1.0 + change);
        }
    }
    p
}

fn scaler(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<Scaler>(operator), input(inputs, 0));
    let columns = *from.shape().last().unwrap();
    let of = |list: &[f32], column: usize| list[if list.len() == 1 { 0 } else { column }];
    let values = numbers(from).into_iter().enumerate().map(|(index, x)| {
        let column = index % columns;
        f64::from((x as f32 - of(&own.offset, column)) * of(&own.scale, column))
    });
    vec![of_floats(DType::F32, from.shape(), &values.collect::<Vec<_>>())]
}

fn normalizer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<Normalizer>(operator), input(inputs, 0));
    let values = rows(from).into_iter().flat_map(|row| {
        let norm = match own.norm {
            Norm::Max => row.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            Norm::L1 => row.iter().map(|x| x.abs()).sum(),
            Norm::L2 => row.iter().map(|x| x * x).sum::<f64>().sqrt(),
        };
        row.into_iter().map(move |x| if norm == 0.0 { x } else { x / norm }).collect::<Vec<_>>()
    });
    vec![of_floats(DType::F32, from.shape(), &values.collect::<Vec<_>>())]
}

fn binarizer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<Binarizer>(operator), input(inputs, 0));
    let above = numbers(from).into_iter().map(|x| i128::from(x > f64::from(own.threshold)));
    let above: Vec<i128> = above.collect();
    vec![match from.dtype().is_float() {
        true => of_floats(from.dtype(), from.shape(), &above.iter().map(|&x| x as f64).collect::<Vec<_>>()),
        false => of_integers(from.dtype(), from.shape(), &above),
    }]
}

fn imputer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<Imputer>(operator), input(inputs, 0));
    let columns = *from.shape().last().unwrap();
    let values = numbers(from).into_iter().enumerate();
    let at = |len: usize, index: usize| if len == 1 { 0 } else { index % columns };
    vec![match own {
        Imputer::Floats { replaced, imputed } => {
            let values = values.map(|(index, x)| {
                let missing = if replaced.is_nan() { x.is_nan() } else { x == f64::from(*replaced) };
                if missing { f64::from(imputed[at(imputed.len(), index)]) } else { x }
            });
            of_floats(from.dtype(), from.shape(), &values.collect::<Vec<_>>())
        }
        Imputer::Integers { replaced, imputed } => {
            let values = values.map(|(index, x)| {
                i128::from(if x as i64 == *replaced { imputed[at(imputed.len(), index)] } else { x as i64 })
            });
            of_integers(from.dtype(), from.shape(), &values.collect::<Vec<_>>())
        }
    }]
}

fn feature_vectorizer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let own = op::<FeatureVectorizer>(operator);
    let tables: Vec<Vec<Vec<f64>>> = (0..inputs.len()).map(|index| rows(input(inputs, index))).collect();
    let joined = (0..tables[0].len()).map(|row| {
        let parts = tables.iter().zip(&own.columns);
        parts
            .flat_map(|(table, &columns)| (0..columns).map(move |column| *table[row].get(column).unwrap_or(&0.0)))
            .collect()
    });
    vec![table(&joined.collect::<Vec<Vec<f64>>>(), own.columns.iter().sum())]
}

fn array_feature_extractor(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (data, places) = (input(inputs, 0), input(inputs, 1).to_i64().unwrap());
    let columns = *data.shape().last().unwrap();
    let outer = if data.shape().len() == 1 { vec![1] } else { data.shape()[..data.shape().len() - 1].to_vec() };
    let shape = [outer, vec![places.len()]].concat();
    vec![pick(data, &shape, |index| {
        let (last, outer) = index.split_last().unwrap();
        let row = outer.iter().zip(&shape).fold(0, |row, (index, size)| row * size + index);
        row * columns + places[*last] as usize
    })]
}

fn c_dist(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (first, second) = (rows(input(inputs, 0)), rows(input(inputs, 1)));
    let squares = first.iter().map(|row| {
        let square = |other: &Vec<f64>| row.iter().zip(other).map(|(a, b)| (a - b) * (a - b)).sum::<f64>();
        let squares = second.iter().map(square);
        squares.map(|square| if op::<CDist>(operator).squared { square } else { square.sqrt() }).collect()
    });
    vec![table(&squares.collect::<Vec<_>>(), second.len())]
}

/// Elements as texts that are equal where the elements are.
fn texts(tensor: &Tensor) -> Vec<String> {
    match tensor.dtype() {
        DType::String => tensor.as_strings().unwrap().into_iter().map(str::to_owned).collect(),
        // Both zeros are one number.
        _ => numbers(tensor).into_iter().map(|number| format!("{}", number + 0.0)).collect(),
    }
}

fn label_encoder(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<LabelEncoder>(operator), input(inputs, 0));
    let keys = texts(&own.keys);
    let places: Vec<Option<usize>> = texts(from).iter().map(|text| keys.iter().position(|key| key == text)).collect();
    vec![chosen(&own.values, &own.default, &places, from.shape())]
}

/// The values at these places, and the default where there is none.
fn chosen(values: &Tensor, default: &Tensor, places: &[Option<usize>], shape: &[usize]) -> Tensor {
    if values.dtype() == DType::String {
        let (values, other) = (texts(values), texts(default));
        let values: Vec<&String> = places.iter().map(|place| place.map_or(&other[0], |place| &values[place])).collect();
        return Tensor::from_strings(shape, &values).unwrap();
    }
    let size = values.dtype().size();
    let element = |place: &Option<usize>| match place {
        Some(place) => values.bytes()[place * size..(place + 1) * size].to_vec(),
        None => default.bytes().to_vec(),
    };
    let bytes: Vec<u8> = places.iter().flat_map(element).collect();
    Tensor::from_bytes(values.dtype(), shape, &bytes).unwrap()
}

fn map_row(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, keys, values) = (op::<MapRow>(operator), texts(input(inputs, 0)), input(inputs, 1));
    let place_of = |key: &String| keys.iter().position(|own| own == key);
    let places: Vec<Option<usize>> = match &own.columns {
        Columns::Keys(Labels::Integers(all)) => all.iter().map(|key| place_of(&key.to_string())).collect(),
        Columns::Keys(Labels::Strings(all)) => all.iter().map(place_of).collect(),
        Columns::Numbered(count) => (0..*count).map(|column| place_of(&column.to_string())).collect(),
        Columns::Sorted => {
            let mut places: Vec<usize> = (0..keys.len()).collect();
            places.sort_by_key(|&place| keys[place].parse::<i64>().unwrap());
            places.into_iter().map(Some).collect()
        }
    };
    vec![chosen(values, &own.default, &places, &[1, places.len()])]
}

fn one_hot_encoder(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<OneHotEncoder>(operator), input(inputs, 0));
    let categories = match &own.categories {
        Labels::Integers(all) => all.iter().map(i64::to_string).collect(),
        Labels::Strings(all) => all.clone(),
    };
    let elements: Vec<String> = match from.dtype() {
        DType::String => texts(from),
        _ => numbers(from).into_iter().map(|number| (number as i64).to_string()).collect(),
    };
    let rows = elements.iter().flat_map(|element| {
        let place = categories.iter().position(|category| category == element);
        (0..categories.len()).map(move |own| f64::from(u8::from(Some(own) == place))).collect::<Vec<_>>()
    });
    let shape = [from.shape(), &[categories.len()]].concat();
    vec![of_floats(DType::F32, &shape, &rows.collect::<Vec<_>>())]
}
