//! Operators on strings.

use gristmill::{
    Tensor,
    testing::{
        op::Operator,
        ops::{
            strings::{
                string_normalizer::{LetterCase, StringNormalizer},
                string_split::StringSplit,
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
    ("StringSplit", string_split),
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
    let own = op::<StringNormalizer>(operator);
    let lower = |text: &str| -> String { text.chars().flat_map(char::to_lowercase).collect() };
    let is_stop = |text: &str| {
        let stop_words = own.stop_words.iter();
        stop_words.into_iter().any(|word| if own.case_sensitive { word == text } else { lower(word) == lower(text) })
    };
    let texts = from.as_strings().unwrap().into_iter().filter(|text| !is_stop(text)).map(|text| match own.case {
        LetterCase::Unchanged => text.to_owned(),
        LetterCase::Lower => lower(text),
        LetterCase::Upper => text.chars().flat_map(char::to_uppercase).collect(),
    });
    let mut texts = texts.collect::<Vec<String>>();
    if own.stop_words.is_empty() {
        return vec![Tensor::from_strings(from.shape(), &texts).unwrap()];
    }
    if texts.is_empty() {
        texts.push(String::new());
    }
    let shape = if from.shape().len() == 1 { vec![texts.len()] } else { vec![1, texts.len()] };
    vec![Tensor::from_strings(shape, &texts).unwrap()]
}

fn string_split(operator: &dyn Operator, inputs: &[Option<Tensor>]) -> Vec<Tensor> {
    let (own, from) = (op::<StringSplit>(operator), input(inputs, 0));
    let parts = |text: &str| -> Vec<String> {
        let (mut parts, mut rest) = (Vec::new(), text.to_owned());
        loop {
            if own.delimiter.is_none() {
                rest = rest.trim_start().to_owned();
                if rest.is_empty() {
                    return parts;
                }
            }
            let found = match &own.delimiter {
                Some(delimiter) => rest.find(delimiter.as_str()).map(|at| (at, at + delimiter.len())),
                None => rest.find(' ').map(|at| (at, at + 1)),
            };
            match found.filter(|_| own.most.is_none_or(|most| parts.len() < most)) {
                Some((end, next)) => {
                    parts.push(rest[..end].to_owned());
                    rest = rest[next..].to_owned();
                }
                None => {
                    parts.push(rest);
                    return parts;
                }
            }
        }
    };
    let all: Vec<Vec<String>> = from.as_strings().unwrap().into_iter().map(parts).collect();
    let width = all.iter().map(Vec::len).max().unwrap_or(0);
    let counts: Vec<i64> = all.iter().map(|parts| parts.len() as i64).collect();
    let at = |parts: &Vec<String>, index: usize| parts.get(index).cloned().unwrap_or_default();
    let texts: Vec<String> = all.iter().flat_map(|parts| (0..width).map(move |index| at(parts, index))).collect();
    let shape: Vec<usize> = from.shape().iter().copied().chain([width]).collect();
    vec![Tensor::from_strings(shape, &texts).unwrap(), Tensor::new(from.shape(), &counts).unwrap()]
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
