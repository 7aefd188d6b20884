//! Hugging Face folders: what they become, and what is made of damaged and hostile ones.

use std::{fs, path::Path};

use gristmill::{
    Device, Error, ErrorKind, Session, SessionOptions, Tensor, Tensors,
    testing::import::hugging_face::{FolderOptions, Pooling, open},
};
use serde_json::{Value, json};

use crate::{
    allocation::{Allocated, allocated},
    support::folder::{self, Entry, Folder, Kind, Weights, encode, pool, safetensors, with_header},
};

/// Opens a folder that must be refused; in less memory than a small multiple of its own size.
fn refusal(path: &Path) -> Error {
    let size: u64 = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    let (result, Allocated { peak, .. }) = allocated(|| open(path, &FolderOptions::default()));
    let error = result.expect_err("the folder is damaged");
    assert!(peak <= 4 * size.min(16 << 20) as usize + (4 << 20), "{peak} bytes for a folder of {size}: {error}");
    error
}

fn check(path: &Path, kind: ErrorKind, parts: &[&str]) {
    let error = refusal(path);
    let message = error.to_string();
    assert_eq!(error.kind(), kind, "{message}");
    for part in parts {
        assert!(message.contains(part), "{message:?} should name {part:?}");
    }
    assert!(message.contains(&path.display().to_string()), "{message}");
}

/// The vector of given tokens by way of the graph.
fn vector(session: &Session, folder: &Folder, ids: &[u32]) -> Vec<f32> {
    let tensor = |values: Vec<i32>| Tensor::new([values.len()], &values).unwrap();
    let first = if folder.kind == Kind::Roberta { 2 } else { 0 };
    let mut inputs = Tensors::new()
        .with("input_ids", tensor(ids.iter().map(|&id| id as i32).collect()))
        .with("position_ids", tensor((0..ids.len() as i32).map(|position| first + position).collect()));
    if folder.kind != Kind::DistilBert {
        inputs = inputs.with("token_type_ids", tensor(vec![0; ids.len()]));
    }
    let outputs = session.run(&inputs).unwrap();
    assert_eq!(outputs.get("last_hidden_state").unwrap().shape(), [ids.len(), folder::HIDDEN]);
    outputs.get("sentence_embedding").unwrap().as_slice::<f32>().unwrap().to_vec()
}

fn agree(path: &Path, folder: &Folder, mode: &str, normalize: bool) {
    let opened = open(path, &FolderOptions::default()).unwrap();
    let session = Session::load(opened.graph, &SessionOptions::on(Device::Cpu)).unwrap();
    for ids in [&[2, 3][..], &[2, 9, 13, 30, 8, 8, 44, 3], &[7], &(5..40).collect::<Vec<u32>>()] {
        let expected = pool(&encode(folder, ids), mode, normalize);
        let scale = expected.iter().fold(1.0, |scale: f64, x| scale.max(x.abs()));
        for (own, expected) in vector(&session, folder, ids).into_iter().zip(expected) {
            assert!((f64::from(own) - expected).abs() < 1e-5 * scale, "{own} where the formulas give {expected}");
        }
    }
}

#[test]
fn a_folder_computes_what_the_formulas_say() {
    for kind in [Kind::Bert, Kind::Roberta, Kind::DistilBert] {
        for weights in [Weights::F32, Weights::F16, Weights::Bf16] {
            let folder = Folder::new(kind, weights);
            agree(folder.temporary().path(), &folder, "mean", true);
        }
    }
}

#[test]
fn prefixes_shards_and_old_names_are_the_same_model() {
    for kind in [Kind::Bert, Kind::Roberta, Kind::DistilBert] {
        let mut folder = Folder::new(kind, Weights::F32);
        folder.prefix(match kind {
            Kind::Bert => "bert.",
            Kind::Roberta => "roberta.",
            Kind::DistilBert => "distilbert.",
        });
        // Heads beside the encoder are left alone.
        folder.tensors.push(Entry::new("classifier.weight".into(), &[2, 3], vec![0.5; 6], Weights::F32));
        let path = tempfile::tempdir().unwrap();
        folder.write_sharded(path.path(), 3);
        agree(path.path(), &folder, "mean", true);
    }
    let mut old = Folder::new(Kind::Bert, Weights::F32);
    for entry in &mut old.tensors {
        entry.name =
            entry.name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta");
    }
    let plain = Folder::new(Kind::Bert, Weights::F32).temporary();
    let (old, plain) = (old.temporary(), open(plain.path(), &FolderOptions::default()).unwrap());
    let old = open(old.path(), &FolderOptions::default()).unwrap();
    assert_eq!(old.graph.nodes().len(), plain.graph.nodes().len());
}

#[test]
fn pooling_is_what_the_folder_says_unless_told_otherwise() {
    let modes = [
        ("cls_token", "cls", Pooling::Cls),
        ("mean_tokens", "mean", Pooling::Mean),
        ("max_tokens", "max", Pooling::Max),
    ];
    for (name, mode, pooling) in modes {
        for normalize in [false, true] {
            let mut folder = Folder::new(Kind::Bert, Weights::F32);
            folder.set_sentence(&format!("pooling_mode_{name}"), normalize, Some(9));
            let path = folder.temporary();
            let opened = open(path.path(), &FolderOptions::default()).unwrap();
            assert_eq!((opened.pooling, opened.max_tokens), ((vec![pooling], normalize), 9));
            agree(path.path(), &folder, mode, normalize);
        }
    }
    let mut plain = Folder::new(Kind::Roberta, Weights::F32);
    plain.files.clear();
    let path = plain.temporary();
    let opened = open(path.path(), &FolderOptions::default()).unwrap();
    assert_eq!((opened.pooling, opened.max_tokens), ((vec![Pooling::Mean], false), folder::POSITIONS - 2));
    assert!(opened.notes.iter().any(|note| note.contains("modules.json")), "{:?}", opened.notes);
    let mut options = FolderOptions::default();
    (options.pooling, options.normalize) = (Some(Pooling::Max), Some(true));
    assert_eq!(open(path.path(), &options).unwrap().pooling, (vec![Pooling::Max], true));
    // More tokens than there are positions is told, not believed.
    plain.set_sentence("pooling_mode_cls_token", true, Some(500));
    let opened = open(plain.temporary().path(), &FolderOptions::default()).unwrap();
    assert_eq!(opened.max_tokens, folder::POSITIONS - 2);
    assert!(opened.notes.iter().any(|note| note.contains("500")), "{:?}", opened.notes);
}

#[test]
fn the_fingerprint_names_the_weights() {
    let name = |folder: &Folder| open(folder.temporary().path(), &FolderOptions::default()).unwrap().fingerprint();
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let mut changed = folder.clone();
    changed.tensor("encoder.layer.1.output.dense.bias").bytes[0] ^= 1;
    assert_eq!(name(&folder), name(&folder.clone()));
    assert_ne!(name(&folder), name(&changed));
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let path = folder.temporary();
    let file = path.path().join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let lengths = (0..64)
        .chain((64..header).step_by(37))
        .chain(header - 3..header + 9)
        .chain((header..whole.len()).step_by(1013));
    for length in lengths.chain([whole.len() - 1]) {
        fs::write(&file, &whole[..length]).unwrap();
        check(path.path(), ErrorKind::InvalidModel, &["model.safetensors"]);
    }
    fs::write(&file, [&whole[..], &[0]].concat()).unwrap();
    check(path.path(), ErrorKind::InvalidModel, &["model.safetensors", "the file holds"]);
}

#[test]
fn a_flipped_header_never_panics() {
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let path = folder.temporary();
    let file = path.path().join("model.safetensors");
    let whole = fs::read(&file).unwrap();
    let header = 8 + u64::from_le_bytes(whole[..8].try_into().unwrap()) as usize;
    let mut refused = 0;
    for position in (0..8).chain((8..header).step_by(3)) {
        let mut damaged = whole.clone();
        damaged[position] ^= 1 << (position % 8);
        fs::write(&file, damaged).unwrap();
        let (result, Allocated { peak, .. }) = allocated(|| open(path.path(), &FolderOptions::default()));
        assert!(peak < 8 * whole.len(), "{peak} bytes after a flip at {position}");
        refused += usize::from(result.is_err());
    }
    assert!(refused > (header / 3) * 9 / 10, "only {refused} flips were seen");
}

/// A folder whose weights are damaged by `damage`, its path kept while it is looked at.
fn damaged(damage: impl FnOnce(&mut Folder)) -> tempfile::TempDir {
    let mut folder = Folder::new(Kind::Bert, Weights::F32);
    damage(&mut folder);
    folder.temporary()
}

#[test]
fn all_problems_stand_in_one_error() {
    let path = damaged(|folder| {
        folder.tensor("embeddings.position_embeddings.weight").shape = vec![folder::HIDDEN, folder::POSITIONS];
        folder.tensor("encoder.layer.0.attention.self.key.bias").name = "renamed".into();
        let integers = folder.tensor("encoder.layer.1.output.LayerNorm.weight");
        integers.dtype = "I32".into();
        folder.files.retain(|(name, _)| name != "1_Pooling/config.json");
        folder
            .set_file("1_Pooling/config.json", r#"{"word_embedding_dimension": 99, "pooling_mode_mean_tokens": true}"#);
    });
    check(
        path.path(),
        ErrorKind::InvalidModel,
        &[
            "`embeddings.position_embeddings.weight` is f32[32, 40], expected is [40, 32]",
            "`encoder.layer.0.attention.self.key.bias` is missing",
            "`renamed` has no place",
            "`encoder.layer.1.output.LayerNorm.weight` is of i32",
            "vectors of 99",
        ],
    );
}

#[test]
fn a_config_that_lies_is_refused_before_anything_is_allocated() {
    let cases: &[(&str, Value, &str)] = &[
        ("num_hidden_layers", json!(1_000_000_000_u64), "num_hidden_layers"),
        ("num_hidden_layers", json!(900), "and "),
        ("num_hidden_layers", json!(1), "encoder.layer.1."),
        ("num_attention_heads", json!(0), "num_attention_heads"),
        ("num_attention_heads", json!(5), "not a multiple"),
        ("hidden_size", json!(65536), "embeddings.word_embeddings.weight"),
        ("hidden_size", json!(-32), "hidden_size"),
        ("vocab_size", json!(67_000_000), "embeddings.word_embeddings.weight"),
        ("vocab_size", json!(u64::MAX), "vocab_size"),
        ("intermediate_size", json!("48"), "intermediate_size"),
        ("max_position_embeddings", json!(0), "max_position_embeddings"),
        ("layer_norm_eps", json!(-1.0), "layer_norm_eps"),
        ("type_vocab_size", json!(3), "token_type_embeddings"),
    ];
    for (name, value, part) in cases {
        let path = damaged(|folder| folder.config[*name] = value.clone());
        check(path.path(), ErrorKind::InvalidModel, &[part]);
    }
    let unsupported =
        [("model_type", json!("gpt2")), ("position_embedding_type", json!("relative_key")), ("hidden_act", json!("x"))];
    for (name, value) in unsupported {
        let path = damaged(|folder| folder.config[name] = value.clone());
        check(path.path(), ErrorKind::Unsupported, &[value.as_str().unwrap()]);
    }
}

#[test]
fn hostile_headers_are_refused_in_bounded_memory() {
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let path = folder.temporary();
    let file = path.path().join("model.safetensors");
    let entry = |name: &str, shape: &str, offsets: &str| {
        format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
    };
    let many: Vec<String> = (0..200_000).map(|index| entry(&index.to_string(), "[0]", "[0,0]")).collect();
    let headers = [
        (format!("{{{},{}}}", entry("a", "[1]", "[0,4]"), entry("a", "[1]", "[0,4]")), "comes twice"),
        (format!("{{{}}}", entry("a", "[9223372036854775807,4]", "[0,4]")), "do not hold"),
        (format!("{{{}}}", entry("a", "[1]", "[18446744073709551612,18446744073709551615]")), "do not hold"),
        (format!("{{{}}}", entry("a", "[0]", "[9,9]")), "hole"),
        (format!("{{{}}}", many.join(",")), "holds 4"),
        ("{\"a\":".repeat(1000), "does not parse"),
    ];
    for (header, part) in headers {
        fs::write(&file, with_header(&header, &[0; 4])).unwrap();
        let (result, Allocated { peak, .. }) = allocated(|| open(path.path(), &FolderOptions::default()));
        let message = result.expect_err(part).to_string();
        assert!(message.contains(part), "{}", &message[..message.len().min(400)]);
        assert!(peak < 12 * header.len() + (1 << 20), "{peak} bytes for a header of {}", header.len());
    }
    // Lengths that the file does not have, and one that it has, in a file full of holes.
    for length in [100, u64::MAX, u64::MAX - 7, 1 << 62] {
        fs::write(&file, [&length.to_le_bytes()[..], b"{}"].concat()).unwrap();
        check(path.path(), ErrorKind::InvalidModel, &[&length.to_string()]);
    }
    let sparse = fs::File::create(&file).unwrap();
    sparse.set_len(200 << 20).unwrap();
    std::io::Write::write_all(&mut &sparse, &(100_u64 << 20).to_le_bytes()).unwrap();
    check(path.path(), ErrorKind::Limit, &["header", "the limit is 16777216"]);
    // The cap can be set.
    fs::write(&file, safetensors(&folder.tensors)).unwrap();
    let mut options = FolderOptions::default();
    options.import = options.import.max_header_bytes(100);
    assert_eq!(open(path.path(), &options).unwrap_err().kind(), ErrorKind::Limit);
}

#[test]
fn an_index_cannot_lead_out_of_the_folder_or_lie() {
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let path = tempfile::tempdir().unwrap();
    folder.write_sharded(path.path(), 2);
    let file = path.path().join("model.safetensors.index.json");
    let whole: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let first = "embeddings.word_embeddings.weight";
    for name in ["../model.safetensors", "a/../../b", "/etc/passwd", "..", "", "a\\b"] {
        let mut index = whole.clone();
        index["weight_map"][first] = name.into();
        fs::write(&file, index.to_string()).unwrap();
        check(path.path(), ErrorKind::InvalidModel, &["model.safetensors.index.json", "plain name"]);
    }
    let mut index = whole.clone();
    index["weight_map"].as_object_mut().unwrap().remove(first);
    index["weight_map"]["extra"] = "model-00000-of-00002.safetensors".into();
    fs::write(&file, index.to_string()).unwrap();
    check(path.path(), ErrorKind::InvalidModel, &[&format!("`{first}` of"), "`extra` is not in"]);
    fs::write(&file, whole.to_string().replacen("{\"embeddings", "{\"x\":\"y\",\"x\":\"z\",\"embeddings", 1)).unwrap();
    check(path.path(), ErrorKind::InvalidModel, &["comes twice"]);
    fs::write(&file, whole.to_string()).unwrap();
    fs::remove_file(path.path().join("model-00001-of-00002.safetensors")).unwrap();
    check(path.path(), ErrorKind::Io, &["model-00001-of-00002.safetensors"]);
}

#[test]
fn modules_that_are_not_built_and_paths_that_lead_out_are_refused() {
    let module = |kind: &str, path: &str| json!({"idx": 0, "name": "0", "path": path, "type": format!("sentence_transformers.models.{kind}")});
    let cases = [
        (
            vec![module("Transformer", ""), module("Pooling", "1_Pooling"), module("LSTM", "2_LSTM")],
            ErrorKind::Unsupported,
            "LSTM",
        ),
        (
            vec![module("Transformer", ""), module("Dense", "2_Dense"), module("Pooling", "1_Pooling")],
            ErrorKind::Unsupported,
            "module 1 is `Dense`",
        ),
        (
            vec![module("Transformer", ""), module("Pooling", "1_Pooling"), module("Dense", "2_Dense")],
            ErrorKind::InvalidModel,
            "2_Dense",
        ),
        (vec![module("Transformer", "")], ErrorKind::Unsupported, "pooling"),
        (vec![module("Pooling", "1_Pooling")], ErrorKind::Unsupported, "Pooling"),
        (
            vec![module("Transformer", "../other"), module("Pooling", "1_Pooling")],
            ErrorKind::InvalidModel,
            "plain name",
        ),
        (vec![module("Transformer", ""), module("Pooling", "..")], ErrorKind::InvalidModel, "plain name"),
        (vec![module("Transformer", ""), module("Pooling", "missing")], ErrorKind::InvalidModel, "missing"),
    ];
    for (modules, kind, part) in cases {
        let path = damaged(|folder| folder.set_file("modules.json", &Value::from(modules).to_string()));
        check(path.path(), kind, &["modules.json", part]);
    }
    let poolings = [
        (json!({"pooling_mode_first_token": true}), ErrorKind::Unsupported, "pooling_mode_first_token"),
        (json!({"pooling_mode_cls_token": 1}), ErrorKind::InvalidModel, "pooling_mode_cls_token is 1"),
        (
            json!({"pooling_mode_cls_token": true, "word_embedding_dimension": "x"}),
            ErrorKind::InvalidModel,
            "word_embedding_dimension",
        ),
    ];
    for (pooling, kind, part) in poolings {
        let path = damaged(|folder| folder.set_file("1_Pooling/config.json", &pooling.to_string()));
        check(path.path(), kind, &[part]);
    }
    let prompt = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "document"}"#;
    let path = damaged(|folder| folder.set_file("config_sentence_transformers.json", prompt));
    check(path.path(), ErrorKind::InvalidModel, &["document"]);
    // The encoder may lie in a folder of its own.
    let folder = Folder::new(Kind::Bert, Weights::F32);
    let path = folder.temporary();
    fs::create_dir(path.path().join("0_Transformer")).unwrap();
    for name in ["config.json", "tokenizer.json", "model.safetensors", "sentence_bert_config.json"] {
        fs::rename(path.path().join(name), path.path().join("0_Transformer").join(name)).unwrap();
    }
    let modules = Value::from(vec![module("Transformer", "0_Transformer"), module("Pooling", "1_Pooling")]);
    fs::write(path.path().join("modules.json"), modules.to_string()).unwrap();
    agree(path.path(), &folder, "mean", false);
}

#[test]
fn missing_files_and_what_is_no_checkpoint_are_named() {
    let path = Folder::new(Kind::Bert, Weights::F32).temporary();
    fs::rename(path.path().join("model.safetensors"), path.path().join("pytorch_model.bin")).unwrap();
    check(path.path(), ErrorKind::InvalidModel, &["checkpoint `pytorch_model.bin`", "neither an archive"]);
    fs::remove_file(path.path().join("pytorch_model.bin")).unwrap();
    check(path.path(), ErrorKind::Io, &["neither `model.safetensors`"]);
    fs::remove_file(path.path().join("config.json")).unwrap();
    check(path.path(), ErrorKind::Io, &["`config.json` is missing"]);
    let file = path.path().join("tokenizer.json");
    assert_eq!(open(&file, &FolderOptions::default()).unwrap_err().kind(), ErrorKind::InvalidInput);
    for content in ["", "[]", "{\"model_type\":\"bert\",\"model_type\":\"bert\"}", &"[".repeat(100_000)] {
        fs::write(path.path().join("config.json"), content).unwrap();
        check(path.path(), ErrorKind::InvalidModel, &["config.json"]);
    }
    let large = fs::File::create(path.path().join("config.json")).unwrap();
    large.set_len(1 << 30).unwrap();
    let (result, Allocated { peak, .. }) = allocated(|| open(path.path(), &FolderOptions::default()));
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Limit);
    assert!(peak < 48 << 20, "{peak} bytes of a file that is too large");
}

#[cfg(unix)]
#[test]
fn a_pipe_in_a_files_place_is_refused_at_once() {
    for name in ["model.safetensors", "config.json", "modules.json"] {
        let path = Folder::new(Kind::Bert, Weights::F32).temporary();
        let file = path.path().join(name);
        fs::remove_file(&file).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
        check(path.path(), ErrorKind::InvalidModel, &["not a regular file"]);
    }
}

#[test]
fn every_name_of_the_text_settings_is_read() {
    for kind in ["bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"] {
        let mut folder = Folder::new(Kind::Bert, Weights::F32);
        folder.files.retain(|(name, _)| name != "sentence_bert_config.json");
        let settings = r#"{"max_seq_length": 12, "do_lower_case": true}"#;
        folder.set_file(&format!("sentence_{kind}_config.json"), settings);
        // The first name in the order of sentence-transformers counts.
        if kind != "xlnet" {
            folder.set_file("sentence_xlnet_config.json", r#"{"max_seq_length": 13}"#);
        }
        let opened = open(folder.temporary().path(), &FolderOptions::default()).unwrap();
        assert_eq!((opened.max_tokens, opened.lowercase), (12, true), "{kind}");
    }
    let path = damaged(|folder| {
        folder.set_file("sentence_bert_config.json", r#"{"tokenizer_args": {"do_lower_case": false}}"#);
    });
    check(path.path(), ErrorKind::Unsupported, &["sentence_bert_config.json", "do_lower_case", "tokenizer_args"]);
}

#[test]
fn both_generations_of_pooling_settings_are_read() {
    let opened = |pooling: &str| {
        let mut folder = Folder::new(Kind::Bert, Weights::F32);
        folder.set_file("1_Pooling/config.json", pooling);
        open(folder.temporary().path(), &FolderOptions::default())
    };
    let modes = [
        ("cls", Pooling::Cls),
        ("mean", Pooling::Mean),
        ("max", Pooling::Max),
        ("mean_sqrt_len_tokens", Pooling::MeanSqrtLength),
        ("weightedmean", Pooling::WeightedMean),
        ("lasttoken", Pooling::Last),
    ];
    for (mode, pooling) in modes {
        for mode in [format!("\"{mode}\""), format!("[\"{mode}\"]")] {
            let settings = format!(r#"{{"embedding_dimension": 32, "pooling_mode": {mode}, "include_prompt": true}}"#);
            assert_eq!(opened(&settings).unwrap().pooling.0, [pooling], "{mode}");
        }
    }
    // Side by side: in the order of the list, or of sentence-transformers' switches; the mean without any.
    for (settings, modes) in [
        (r#"{"pooling_mode": ["mean", "cls", "mean"]}"#, vec![Pooling::Mean, Pooling::Cls, Pooling::Mean]),
        (
            r#"{"pooling_mode_lasttoken": true, "pooling_mode_cls_token": true, "pooling_mode_max_tokens": true,
                "pooling_mode_mean_tokens": false}"#,
            vec![Pooling::Cls, Pooling::Max, Pooling::Last],
        ),
        (r#"{"pooling_mode_cls_token": false}"#, vec![Pooling::Mean]),
        ("{}", vec![Pooling::Mean]),
    ] {
        let opened = opened(settings).unwrap();
        assert_eq!((opened.dimension, opened.pooling.0), (32 * modes.len(), modes), "{settings}");
    }
    for (settings, part) in [
        (r#"{"embedding_dimension": 33, "pooling_mode": "cls"}"#, "33"),
        (r#"{"pooling_mode": ["cls", "first"]}"#, "first"),
        (r#"{"pooling_mode": []}"#, "pooling_mode is []"),
        (r#"{"pooling_mode": 3}"#, "pooling_mode is 3"),
        (r#"{"pooling_mode": "cls", "include_prompt": 1}"#, "include_prompt"),
    ] {
        let error = opened(settings).unwrap_err().to_string();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn a_default_prompt_is_read() {
    let with = |prompts: &str, pooling: Option<&str>| {
        let mut folder = Folder::new(Kind::Bert, Weights::F32);
        folder.set_file("config_sentence_transformers.json", prompts);
        if let Some(pooling) = pooling {
            folder.set_file("1_Pooling/config.json", pooling);
        }
        open(folder.temporary().path(), &FolderOptions::default()).map(|opened| opened.prompts.default)
    };
    let prompts = r#"{"prompts": {"query": "query: ", "none": ""}, "default_prompt_name": "#;
    let excluded = r#"{"pooling_mode": "mean", "include_prompt": false}"#;
    assert_eq!(with(&format!("{prompts}\"query\"}}"), None).unwrap(), "query: ");
    assert_eq!(with(&format!("{prompts}null}}"), None).unwrap(), "");
    assert_eq!(with(&format!("{prompts}\"none\"}}"), Some(excluded)).unwrap(), "");
    assert!(with(&format!("{prompts}\"query\"}}"), Some(excluded)).unwrap_err().to_string().contains("prompt"));
    for wrong in ["0", "-3", "\"x\""] {
        let error = with(&format!(r#"{{"truncate_dim": {wrong}}}"#), None).unwrap_err().to_string();
        assert!(error.contains("config_sentence_transformers.json"), "{error}");
    }
}

#[test]
fn modules_may_be_in_inner_folders() {
    let mut folder = Folder::new(Kind::Bert, Weights::F32);
    let modules = folder.files.iter().find(|(name, _)| name == "modules.json").unwrap().1.clone();
    folder.set_file("modules.json", &modules.replace("1_Pooling", "parts/pooling"));
    folder.files.retain(|(name, _)| name != "1_Pooling/config.json");
    folder.set_file("parts/pooling/config.json", r#"{"pooling_mode": "max"}"#);
    assert_eq!(open(folder.temporary().path(), &FolderOptions::default()).unwrap().pooling.0, [Pooling::Max]);
    for path in ["../other", "/etc", "parts//pooling", "parts/.."] {
        folder.set_file("modules.json", &modules.replace("1_Pooling", path));
        assert!(open(folder.temporary().path(), &FolderOptions::default()).is_err(), "{path}");
    }
}

#[test]
fn a_folder_that_is_none_is_said_to_be_so() {
    let place = tempfile::tempdir().unwrap();
    let text = |path: &Path| {
        let error = gristmill::text::Embedder::open(path, Device::Cpu).unwrap_err();
        (error.kind(), error.to_string())
    };
    let (kind, said) = text(&place.path().join("absent"));
    assert!(kind == ErrorKind::Io && said.contains("a Hugging Face folder of a text encoder"), "{said}");
    assert!(said.contains("hf download OWNER/NAME --local-dir ") && said.contains("No such file"), "{said}");
    let file = place.path().join("file");
    fs::write(&file, "").unwrap();
    let (kind, said) = text(&file);
    assert!(
        kind == ErrorKind::InvalidInput && said.contains("is not a folder; a text model is a folder with"),
        "{said}"
    );
}
