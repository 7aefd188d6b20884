//! Several heads behind one encoder: `golden_hybrid.py` made the model and computed what its heads find.

use std::{fs, path::PathBuf};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Embedder, Hybrid, HybridEmbedder, HybridOptions, Prompt},
};

use crate::support::{data::golden, folder::changed};

/// The largest difference of a number to its golden in f32, which has six digits behind the point.
const MOST: f64 = 2e-5;

/// A text's vector, the weights of its words, and the vectors of its tokens.
type Golden = (Vec<f64>, Vec<(u32, f64)>, Vec<Vec<f64>>);

fn model() -> PathBuf {
    golden("heads/hybrid/m3")
}

fn texts() -> Vec<String> {
    serde_json::from_str(&fs::read_to_string(golden("heads/texts.json")).unwrap()).unwrap()
}

fn difference(own: &[f32], golden: &[f64]) -> f64 {
    assert_eq!(own.len(), golden.len());
    own.iter().zip(golden).map(|(own, golden)| (f64::from(*own) - golden).abs()).fold(0.0, f64::max)
}

#[test]
fn all_heads_of_one_pass_give_the_numbers_of_flag_embedding() {
    let (texts, golden) = (texts(), fs::read_to_string(model().join("golden.json")).unwrap());
    let golden: Vec<Golden> = serde_json::from_str(&golden).unwrap();
    let embedder = HybridEmbedder::open(model(), Device::Cpu).unwrap();
    let mapped = HybridOptions::on(Device::Cpu).weights(Weights::Mapped);
    let mapped = HybridEmbedder::open_with(model(), &mapped).unwrap().embed(&texts).unwrap();
    let (together, report) = embedder.bulk().run(&texts);
    let (mut worst, mut truncated, mut weighted) = (0f64, 0, 0);
    for ((text, (vector, words, tokens)), (own, mapped)) in
        texts.iter().zip(&golden).zip(together.into_iter().zip(mapped))
    {
        let own = own.unwrap_or_else(|error| panic!("{text:?}: {error}"));
        let Hybrid { vector: Some(own_vector), words: Some(own_words), token_vectors: Some(own_tokens), .. } = &own
        else {
            panic!("{text:?} has {own:?}");
        };
        worst = worst.max(difference(own_vector, vector));
        assert!(own_words.weights.iter().all(|(_, weight)| *weight > 0.0), "{text:?}");
        // A weight that is nearly 0 is there or not.
        for word in 0..320 {
            let golden = words.iter().find(|(own, _)| *own == word).map_or(0.0, |(_, weight)| *weight);
            let own = own_words.weights.iter().find(|(own, _)| *own == word).map_or(0.0, |(_, weight)| *weight);
            worst = worst.max((f64::from(own) - golden).abs());
            weighted += usize::from(own > 0.0);
        }
        assert_eq!(own_tokens.iter().len(), tokens.len(), "{text:?}");
        assert_eq!((own_tokens.ids().len(), own.tokens), (tokens.len(), tokens.len() + 1), "{text:?}");
        for (own, golden) in own_tokens.iter().zip(tokens) {
            worst = worst.max(difference(own, golden));
        }
        assert!(worst <= MOST, "{text:?} differs by {worst:e}");
        truncated += usize::from(own.truncated);
        assert_eq!(embedder.embed(&[text.as_str()]).unwrap(), std::slice::from_ref(&own), "{text:?} alone");
        assert_eq!(mapped, own, "{text:?}, mapped");
    }
    assert!(truncated > 0 && weighted > 50, "{truncated} truncated, {weighted} weights");
    assert_eq!(report.truncated, truncated as u64);
    println!("at most {worst:.1e}");
}

#[test]
fn each_head_alone_finds_the_same() {
    let text = ["the quick brown fox"];
    let all = HybridEmbedder::open(model(), Device::Cpu).unwrap().embed(&text).unwrap().remove(0);
    let alone = |vector: bool, words: bool, tokens: bool| {
        let options = HybridOptions::on(Device::Cpu).vector(vector).words(words).token_vectors(tokens);
        HybridEmbedder::open_with(model(), &options).unwrap().embed(&text).unwrap().remove(0)
    };
    let [vector, words, tokens] = [alone(true, false, false), alone(false, true, false), alone(false, false, true)];
    assert_eq!((&vector.vector, &vector.words, &vector.token_vectors), (&all.vector, &None, &None));
    assert_eq!((&words.vector, &words.words, &words.token_vectors), (&None, &all.words, &None));
    assert_eq!((&tokens.vector, &tokens.words, &tokens.token_vectors), (&None, &None, &all.token_vectors));
    let plain = Embedder::open(model(), Device::Cpu).unwrap().embed(&text).unwrap().remove(0);
    assert_eq!(all.vector, Some(plain));
    let none = HybridOptions::on(Device::Cpu).vector(false).words(false).token_vectors(false);
    assert_eq!(HybridEmbedder::open_with(model(), &none).unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[test]
fn without_modules_the_vector_is_that_of_the_first_token() {
    let folder = changed(&model(), &[]);
    fs::remove_file(folder.path().join("modules.json")).unwrap();
    let texts = ["the quick brown fox", "a lazy dog"];
    let [own, with] = [folder.path(), &model()].map(|path| HybridEmbedder::open(path, Device::Cpu).unwrap());
    assert_eq!(own.embed(&texts).unwrap(), with.embed(&texts).unwrap());
}

#[test]
fn prompts_stand_before_texts() {
    let embedder = HybridEmbedder::open(model(), Device::Cpu).unwrap();
    let asked = embedder.with_prompt(&Prompt::Text("the ".to_owned())).unwrap();
    assert_eq!(asked.embed(&["quick fox"]).unwrap(), embedder.embed(&["the quick fox"]).unwrap());
    assert_eq!(embedder.queries().unwrap().embed(&["a fox"]).unwrap(), embedder.embed(&["a fox"]).unwrap());
}

#[test]
fn a_head_that_is_not_there_is_named() {
    let folder = changed(&model(), &[]);
    fs::remove_file(folder.path().join("sparse_linear.pt")).unwrap();
    let error = HybridEmbedder::open(folder.path(), Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("there is no `sparse_linear.pt`"), "{error}");
    let others = HybridOptions::on(Device::Cpu).words(false);
    assert!(HybridEmbedder::open_with(folder.path(), &others).is_ok());
    fs::copy(folder.path().join("colbert_linear.pt"), folder.path().join("sparse_linear.pt")).unwrap();
    let error = HybridEmbedder::open(folder.path(), Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("`weight` is f16[16, 16], expected is [1, 16]"), "{error}");
}
