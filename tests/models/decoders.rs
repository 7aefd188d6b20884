//! Models with a decoder behind their encoder, beside what `encoders` and `heads` check of every family.

use std::{fs, path::Path};

use gristmill::{
    Device, ErrorKind, Precision, Result, SessionOptions,
    text::{Classifier, ClassifierOptions, Embedder, EmbedderOptions, SparseEmbedder, Tagger, TokenEmbedder},
};

use crate::support::{
    data::golden,
    folder::{changed, with_header},
};

const CONFIG: &str = "config.json";
const TEXTS: [&str; 3] = ["the quick brown fox", "東京は日本の首都です。", "don't, can't: it's"];

fn vectors(folder: &Path) -> Result<Vec<Vec<f32>>> {
    Ok(Embedder::open(folder, Device::Cpu)?.embed(&TEXTS).unwrap())
}

/// Gives tensors of a folder other names.
fn rename(folder: &Path, from: &str, to: &str) {
    let file = folder.join("model.safetensors");
    let bytes = fs::read(&file).unwrap();
    let (length, rest) = bytes.split_at(8);
    let (header, data) = rest.split_at(u64::from_le_bytes(length.try_into().unwrap()) as usize);
    let header = std::str::from_utf8(header).unwrap();
    assert!(header.contains(from), "{header}");
    fs::write(&file, with_header(&header.replace(from, to), data)).unwrap();
}

#[test]
fn a_table_of_words_is_found_by_each_of_its_names() {
    for name in ["bart", "mbart"] {
        let source = golden("encoders").join(name);
        let expected = vectors(&source).unwrap();
        for side in ["encoder", "decoder"] {
            let folder = changed(&source, &[]);
            rename(folder.path(), "\"shared.weight\"", &format!("\"{side}.embed_tokens.weight\""));
            assert_eq!(vectors(folder.path()).unwrap(), expected, "{name}, {side}");
            // As in the files of a model with a head.
            rename(folder.path(), "\"encoder.", "\"model.encoder.");
            rename(folder.path(), "\"decoder.", "\"model.decoder.");
            assert_eq!(vectors(folder.path()).unwrap(), expected, "{name}, {side}, with a prefix");
        }
    }
}

#[test]
fn settings_that_do_not_fit_are_named() {
    let source = golden("encoders/bart");
    for (from, to, named) in [
        ("\"encoder_layers\": 2", "\"encoder_layers\": 1", "`encoder.layers.1."),
        ("\"decoder_layers\": 2", "\"decoder_layers\": 1", "`decoder.layers.1."),
        ("\"decoder_layers\": 2", "\"decoder_layers\": 3", "`decoder.layers.2."),
        ("\"decoder_layers\": 2", "\"decoder_layers\": 1000000000", "decoder_layers is 1000000000"),
        ("\"decoder_attention_heads\": 2", "\"decoder_attention_heads\": 5", "not a multiple of 5 heads"),
        ("\"encoder_attention_heads\": 4", "\"encoder_attention_heads\": 0", "encoder_attention_heads is 0"),
        ("\"decoder_ffn_dim\": 40", "\"decoder_ffn_dim\": 41", "decoder.layers.0.fc1.weight"),
        ("\"max_position_embeddings\": 64", "\"max_position_embeddings\": 63", "decoder.embed_positions.weight"),
        ("\"is_encoder_decoder\": true", "\"is_encoder_decoder\": false", "is_encoder_decoder is false"),
        ("\"activation_function\": \"gelu\"", "\"activation_function\": \"mish\"", "`mish`"),
        ("\"decoder_start_token_id\": 3", "\"decoder_start_token_id\": -1", "decoder_start_token_id is -1"),
        ("\"decoder_start_token_id\": 3", "\"decoder_start_token_id\": 320", "decoder_start_token_id is 320"),
        ("\"eos_token_id\": 2", "\"eos_token_id\": [2, 3]", "eos_token_id is [2,3]"),
    ] {
        let folder = changed(&source, &[(CONFIG, from, to)]);
        let error = Embedder::open(folder.path(), Device::Cpu).expect_err(to).to_string();
        assert!(error.contains(named), "{to}: {error}");
    }
    // The first token is the decoder's own.
    let other = changed(&source, &[(CONFIG, "\"decoder_start_token_id\": 3", "\"decoder_start_token_id\": 2")]);
    assert_ne!(vectors(other.path()).unwrap(), vectors(&source).unwrap());
}

#[test]
fn all_settings_of_saved_models_are_known() {
    for name in ["encoders/bart", "encoders/mbart", "encoders/umt5", "heads/classes/bart", "heads/classes/t5"] {
        let (_, report) = Embedder::open(golden(name), Device::Cpu).unwrap().bulk().run(&TEXTS);
        assert!(!report.notes.iter().any(|note| note.contains("not read")), "{name}: {:?}", report.notes);
    }
}

#[test]
fn what_stands_behind_no_decoder_is_refused() {
    let classes = golden("heads/classes/bart");
    let as_kind = |kind: &str| changed(&classes, &[(CONFIG, "ForSequenceClassification", kind)]);
    let error = Tagger::open(as_kind("ForTokenClassification").path(), Device::Cpu).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("classes of tokens"), "{error}");
    let error = SparseEmbedder::open(as_kind("ForMaskedLM").path(), Device::Cpu).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("masked-word head"), "{error}");
    let late = changed(&golden("heads/colbert/fixed"), &[]);
    for file in [CONFIG, "model.safetensors"] {
        fs::copy(golden("encoders/bart").join(file), late.path().join(file)).unwrap();
    }
    let error = TokenEmbedder::open(late.path(), Device::Cpu).unwrap_err();
    assert!(error.kind() == ErrorKind::Unsupported && error.to_string().contains("behind a decoder"), "{error}");
}

#[test]
fn of_t5_the_encoder_alone_makes_vectors() {
    let source = golden("heads/classes/t5");
    let expected = vectors(&source).unwrap();
    let (start, other) = ("\"decoder_start_token_id\": 3", "\"decoder_start_token_id\": 4");
    let folder = changed(&source, &[(CONFIG, start, other)]);
    assert_eq!(vectors(folder.path()).unwrap(), expected);
    let scores = |folder: &Path| Classifier::open(folder, Device::Cpu).unwrap().classify(&TEXTS).unwrap();
    assert_ne!(scores(folder.path()), scores(&source));
    // A decoder of other layers is none of the embedder's, as is one that is not there.
    for layers in ["0", "1", "null"] {
        let change = format!("\"num_decoder_layers\": {layers}");
        let folder = changed(&source, &[(CONFIG, "\"num_decoder_layers\": 2", &change)]);
        assert_eq!(vectors(folder.path()).unwrap(), expected);
        let error = Classifier::open(folder.path(), Device::Cpu).unwrap_err().to_string();
        assert!(error.contains("num_decoder_layers") || error.contains("decoder.block.1."), "{error}");
    }
    let folder = changed(&source, &[(CONFIG, "ForSequenceClassification", "ForConditionalGeneration")]);
    let error = Classifier::open(folder.path(), Device::Cpu).unwrap_err().to_string();
    assert!(error.contains("T5ForConditionalGeneration; a classifier"), "{error}");
}

/// The classes stand at the last end token, of which each text needs one.
#[test]
fn classes_need_an_end_of_the_text() {
    let (from, to) = ("\"eos_token_id\": 2", "\"eos_token_id\": 300");
    let folder = changed(&golden("heads/classes/bart"), &[(CONFIG, from, to)]);
    let error = Classifier::open(folder.path(), Device::Cpu).unwrap().classify(&["a fox"]).unwrap_err().to_string();
    assert!(error.contains("no token for its end"), "{error}");
    // Vectors do not depend on it.
    let source = golden("encoders/bart");
    let folder = changed(&source, &[(CONFIG, from, to)]);
    assert_eq!(vectors(folder.path()).unwrap(), vectors(&source).unwrap());
}

#[test]
fn windows_and_truncated_texts_are_read_as_texts_of_their_own() {
    for name in ["bart", "mbart"] {
        let folder = golden("heads/classes").join(name);
        let plain = Classifier::open(&folder, Device::Cpu).unwrap();
        let whole = Classifier::open_with(&folder, &ClassifierOptions::on(Device::Cpu).windows(8)).unwrap();
        let long = "a quick fox jumps. ".repeat(40);
        let class = whole.classify(&[long.as_str()]).unwrap().remove(0);
        assert!(class.windows.len() > 3, "{name}");
        for window in &class.windows {
            let alone = plain.classify(&[&long[window.bytes.clone()]]).unwrap().remove(0);
            assert_eq!(alone.scores, window.scores, "{name}");
        }
        let class = plain.classify(&[long.as_str()]).unwrap().remove(0);
        assert_eq!((class.truncated, class.tokens), (true, 64), "{name}");
    }
}

#[test]
fn reduced_precisions_stay_close() {
    for name in ["bart", "mbart"] {
        let folder = golden("encoders").join(name);
        let expected = vectors(&folder).unwrap();
        for (precision, most) in [(Precision::Bf16, 0.1), (Precision::Int8, 0.3)] {
            let session = SessionOptions::on(Device::Cpu).precision(precision);
            let embedder = Embedder::open_with(&folder, &EmbedderOptions::default().session(session)).unwrap();
            let own = embedder.embed(&TEXTS).unwrap();
            let differences = own.iter().flatten().zip(expected.iter().flatten()).map(|(a, b)| (a - b).abs());
            let worst = differences.fold(0f32, f32::max);
            println!("{name}, {precision}: at most {worst:.1e}");
            assert!(worst > 0.0 && worst < most, "{name}, {precision}: {worst}");
            let alone: Vec<_> = TEXTS.into_iter().flat_map(|text| embedder.embed(&[text]).unwrap()).collect();
            assert_eq!(alone, own, "{name}, {precision}");
        }
    }
}
