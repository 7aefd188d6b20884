//! What sentence-transformers runs behind an encoder: `golden_modules.py` made the modules and computed the vectors.

use std::{fs, path::Path};

use gristmill::{
    Device, ErrorKind, Weights,
    text::{Embedder, EmbedderOptions, Prompt},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::data::golden;

/// The largest difference of a number to sentence-transformers' in f32.
const MOST: f64 = 2e-5;

#[derive(Deserialize)]
struct Golden {
    text: String,
    vector: Vec<f64>,
}

/// Copies the files of a folder and of its inner folders.
fn copied(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copied(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// A folder of the encoder `bert` and the modules of a case, and what the case expects.
fn case(name: &str) -> (TempDir, Vec<Golden>) {
    let folder = tempfile::tempdir().unwrap();
    copied(&golden("encoders/bert"), folder.path());
    copied(&golden("modules").join(name), folder.path());
    let golden = fs::read_to_string(folder.path().join("golden.json")).unwrap();
    (folder, serde_json::from_str(&golden).unwrap())
}

fn difference(own: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(own.len(), expected.len());
    let differences = own.iter().zip(expected).map(|(&own, &other)| (f64::from(own) - other).abs());
    differences.fold(0f64, |most, next| if next.is_nan() { next } else { most.max(next) })
}

#[test]
fn every_module_gives_the_vectors_of_sentence_transformers() {
    for (name, width) in [("poolings", 192), ("dense", 24), ("truncated", 7), ("older-switches", 8)] {
        let (folder, golden) = case(name);
        for weights in [Weights::Own, Weights::Mapped] {
            let options = EmbedderOptions::on(Device::Cpu).weights(weights);
            let embedder = Embedder::open_with(folder.path(), &options).unwrap();
            assert_eq!(embedder.dimension(), width, "{name}");
            let texts: Vec<&str> = golden.iter().map(|golden| golden.text.as_str()).collect();
            let together = embedder.embed(&texts).unwrap();
            let mut worst = 0f64;
            for (golden, vector) in golden.iter().zip(together) {
                let most = difference(&vector, &golden.vector);
                worst = worst.max(most);
                assert!(most <= MOST, "{name}: {:?} differs by {most:e}", golden.text);
                assert_eq!(embedder.embed(&[golden.text.as_str()]).unwrap(), [vector], "{name}: {:?}", golden.text);
            }
            println!("{name}: at most {worst:.1e}");
        }
    }
}

#[test]
fn vectors_are_truncated_before_they_are_normalized() {
    let (folder, golden) = case("truncated");
    let opened = |options: EmbedderOptions| Embedder::open_with(folder.path(), &options);
    let on = || EmbedderOptions::on(Device::Cpu);
    let of_length = |vector: &[f64], width: usize| {
        let length = vector[..width].iter().map(|number| number * number).sum::<f64>().sqrt();
        vector[..width].iter().map(|number| number / length).collect::<Vec<_>>()
    };
    for golden in &golden {
        let vector =
            |options: EmbedderOptions| opened(options).unwrap().embed(&[golden.text.as_str()]).unwrap().remove(0);
        let most = difference(&vector(on().normalize(true)), &of_length(&golden.vector, 7));
        assert!(most <= MOST, "{:?} differs by {most:e}", golden.text);
        assert!(difference(&vector(on().truncate_dim(3)), &golden.vector[..3]) <= MOST);
        assert!(difference(&vector(on().truncate_dim(3).normalize(true)), &of_length(&golden.vector, 3)) <= MOST);
        // Without the folder's limit the normalization of its modules is the last step.
        let whole = vector(on().truncate_dim(12));
        assert_eq!(whole, vector(on().truncate_dim(12).normalize(true)));
        assert!(difference(&whole[..7], &golden.vector) <= MOST);
    }
    for width in [0, 13, usize::MAX] {
        let error = opened(on().truncate_dim(width)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("12 numbers"), "{error}");
    }
}

#[test]
fn modules_that_do_not_fit_are_refused() {
    let path = |name: &str| name.to_owned();
    let changed = |file: &str, from: &str, to: &str| {
        let (folder, _) = case("dense");
        let file = folder.path().join(file);
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&file, text.replace(from, to)).unwrap();
        Embedder::open(folder.path(), Device::Cpu).expect_err(to).to_string()
    };
    let dense = path("2_Dense/config.json");
    for (from, to, named) in [
        ("64", "32", "in_features takes vectors of 32, before it they have 64"),
        ("24", "25", "`linear.weight` is"),
        ("24", "1e9", "out_features is 1000000000"),
        ("torch.nn.modules.activation.GELU", "torch.nn.modules.activation.Mish", "Mish"),
        ("torch.nn.modules.activation.GELU", "own.Tanh", "own.Tanh"),
        ("\"bias\": true", "\"bias\": false", "`linear.bias` has no place"),
        ("\"bias\": true", "\"use_residual\": true", "`residual.weight` is missing"),
        (
            "\"module_input_name\": \"sentence_embedding\"",
            "\"module_input_name\": \"token_embeddings\"",
            "token_embeddings",
        ),
    ] {
        let error = changed(&dense, from, to);
        assert!(error.contains(named) && error.contains("2_Dense"), "{error}");
    }
    let error = changed("3_LayerNorm/config.json", "24", "23");
    assert!(error.contains("3_LayerNorm") && error.contains("dimension takes vectors of 23"), "{error}");
    let error = changed("5_Normalize/config.json", "sentence_embedding", "token_embeddings");
    assert!(error.contains("5_Normalize") && error.contains("token_embeddings"), "{error}");
    let error = changed("modules.json", "sentence_transformers.base.modules.dense.Dense", "own_code.Dense");
    assert!(error.contains("own_code.Dense"), "{error}");
    let (folder, _) = case("dense");
    fs::rename(folder.path().join("2_Dense/model.safetensors"), folder.path().join("2_Dense/pytorch_model.bin"))
        .unwrap();
    let error = Embedder::open(folder.path(), Device::Cpu).unwrap_err();
    assert!(error.to_string().contains("no checkpoint") && error.to_string().contains("2_Dense"), "{error}");
}

#[test]
fn prompts_are_chosen_by_name() {
    let (folder, _) = case("dense");
    let set = |file: &str, name: &str, value: Value| {
        let file = folder.path().join(file);
        let mut settings: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
        settings[name] = value;
        fs::write(&file, settings.to_string()).unwrap();
    };
    let prompts = json!({"query": "q: ", "document": null, "topic": "the "});
    set("config_sentence_transformers.json", "prompts", prompts);
    let plain = Embedder::open(folder.path(), Device::Cpu).unwrap();
    let expected = |text: &str| plain.embed(&[text]).unwrap();
    let text = ["a fox"];
    assert_eq!(plain.queries().unwrap().embed(&text).unwrap(), expected("q: a fox"));
    assert_eq!(plain.documents().unwrap().embed(&text).unwrap(), expected("a fox"));
    let topic = Prompt::Named("topic".into());
    assert_eq!(plain.with_prompt(&topic).unwrap().embed(&text).unwrap(), expected("the a fox"));
    let options = EmbedderOptions::on(Device::Cpu).prompt(Prompt::Text("one ".into()));
    let one = Embedder::open_with(folder.path(), &options).unwrap();
    assert_eq!(one.embed(&text).unwrap(), expected("one a fox"));
    assert_ne!(one.describe().options, plain.describe().options);
    assert_eq!(plain.prompts().named.keys().collect::<Vec<_>>(), ["query", "topic"]);
    for name in ["document", "none"] {
        let error = plain.with_prompt(&Prompt::Named(name.into())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains("it has query, topic"), "{error}");
    }
    // A pooling that leaves out the prompt is refused only with a prompt.
    set("1_Pooling/config.json", "include_prompt", false.into());
    let plain = Embedder::open(folder.path(), Device::Cpu);
    let error = plain.and_then(|plain| plain.queries()).unwrap_err();
    assert!(error.to_string().contains("leaves out the tokens of the prompt"), "{error}");
}

#[test]
fn long_texts_are_read_in_windows() {
    let text = "the lazy dog jumps over a quick fox, and one two three: na\u{ef}ve caf\u{e9}. ".repeat(12);
    for (name, overlap, prompt) in [("dense", 8, ""), ("older-switches", 0, "the "), ("truncated", 40, "one ")] {
        let (folder, _) = case(name);
        let options = EmbedderOptions::on(Device::Cpu).prompt(Prompt::Text(prompt.into()));
        let plain = Embedder::open_with(folder.path(), &options).unwrap();
        let embedder = Embedder::open_with(folder.path(), &options.windows(overlap)).unwrap();
        let (detailed, _) = embedder.detailed().run(&[text.as_str(), "a fox", ""]);
        let [long, short, empty] = detailed.try_into().unwrap();
        let (long, short) = (long.unwrap(), short.unwrap());
        assert!(!long.truncated && long.windows.len() > 3, "{name}: {long:?}");
        let (mut end, mut tokens, mut sums) = (0, 0, vec![0f64; embedder.dimension()]);
        for (index, window) in long.windows.iter().enumerate() {
            assert!(window.bytes.start <= end && window.bytes.end > end, "{name}: {:?}", window.bytes);
            assert!(index == 0 || overlap == 0 || window.bytes.start < end, "{name}: {:?}", window.bytes);
            end = window.bytes.end;
            let (alone, _) = plain.detailed().run(&[&text[window.bytes.clone()]]);
            let alone = alone.into_iter().next().unwrap().unwrap();
            assert_eq!((&alone.vector, alone.truncated), (&window.vector, false), "{name}: {:?}", window.bytes);
            sums.iter_mut().zip(&alone.vector).for_each(|(sum, x)| *sum += f64::from(*x) * alone.tokens as f64);
            tokens += alone.tokens;
        }
        assert_eq!((end, tokens), (text.len(), long.tokens), "{name}");
        let length = sums.iter().map(|sum| sum * sum).sum::<f64>().sqrt();
        let divisor = if name == "dense" { length } else { tokens as f64 };
        let mean: Vec<f64> = sums.iter().map(|sum| sum / divisor).collect();
        assert!(difference(&long.vector, &mean) < 1e-6, "{name}");
        assert_eq!(embedder.embed(&[text.as_str()]).unwrap(), std::slice::from_ref(&long.vector), "{name}");
        // What fits is read as without windows.
        let (alone, _) = plain.detailed().run(&["a fox", "", text.as_str()]);
        let [fox, nothing, cut] = alone.try_into().unwrap();
        let fox = fox.unwrap();
        assert_eq!((&short.vector, short.tokens), (&fox.vector, fox.tokens), "{name}");
        assert_eq!((short.windows.len(), short.windows[0].bytes.clone(), fox.windows.len()), (1, 0..5, 0), "{name}");
        assert_eq!(empty.unwrap().vector, nothing.unwrap().vector, "{name}");
        assert!(cut.unwrap().truncated, "{name}");
    }
    let (folder, _) = case("dense");
    let options = EmbedderOptions::on(Device::Cpu).windows(62);
    let error = Embedder::open_with(folder.path(), &options).unwrap_err();
    assert!(error.to_string().contains("62 tokens in common"), "{error}");
}

#[test]
fn a_path_may_be_written_as_one_of_a_folder() {
    let (folder, golden) = case("older-switches");
    let modules = folder.path().join("modules.json");
    let text = fs::read_to_string(&modules).unwrap();
    let open = |path: &str| {
        fs::write(&modules, text.replace("1_Pooling\"", &format!("{path}\""))).unwrap();
        Embedder::open(folder.path(), Device::Cpu)
    };
    for path in ["./1_Pooling", "1_Pooling/", "././1_Pooling/"] {
        let vectors = open(path).unwrap().embed(&[golden[0].text.as_str()]).unwrap();
        assert!(difference(&vectors[0], &golden[0].vector) <= MOST, "{path}");
    }
    for path in ["/1_Pooling", "../1_Pooling", "1_Pooling//"] {
        let error = open(path).unwrap_err().to_string();
        assert!(error.contains("plain name") && error.contains(path), "{error}");
    }
}
