//! Files of older tokenizers against transformers' converters: `golden_tokenizers.py` made both.

use std::{fs, path::Path};

use serde::Deserialize;

use crate::text::tokenizer::{TextTokenizer, Unit};

#[derive(Deserialize)]
struct Golden {
    texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    pairs: Vec<(Vec<u32>, Vec<u32>)>,
}

#[test]
fn older_files_give_the_tokens_of_transformers() {
    let folders = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tokenizers");
    let mut failures = Vec::new();
    let mut count = 0;
    for folder in fs::read_dir(folders).unwrap().map(|entry| entry.unwrap().path()) {
        let name = folder.file_name().unwrap().to_string_lossy().into_owned();
        let golden: Golden = serde_json::from_slice(&fs::read(folder.join("golden.json")).unwrap()).unwrap();
        let parsed = || TextTokenizer::parse_in(&folder, false).unwrap_or_else(|error| panic!("{name}: {error}"));
        let single = TextTokenizer::new(parsed(), 512).unwrap();
        let pairs = TextTokenizer::set_up(parsed(), 512, Unit::Pair, None).unwrap();
        for (text, ids) in golden.texts.iter().zip(&golden.ids) {
            let own = single.encode(text).unwrap().ids;
            if own != *ids {
                failures.push(format!("{name}: {text:?}: {own:?} for {ids:?}"));
            }
        }
        for (pair, (ids, types)) in golden.texts.windows(2).zip(&golden.pairs) {
            let own = pairs.encode_pair(&pair[0], &pair[1]).unwrap();
            if (&own.ids, &own.type_ids) != (ids, types) {
                failures.push(format!("{name}: {pair:?}: {:?} {:?} for {ids:?} {types:?}", own.ids, own.type_ids));
            }
        }
        count += 1;
    }
    assert!(count >= 9 && failures.is_empty(), "{count} tokenizers\n{}", failures.join("\n"));
}

#[test]
fn bart_has_the_tokenizer_of_roberta() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/tokenizers/roberta");
    let folder = tempfile::tempdir().unwrap();
    let ids =
        |folder: &Path| TextTokenizer::open(&folder.join("tokenizer.json"), 64).unwrap().encode("a fox").unwrap().ids;
    for name in ["vocab.json", "merges.txt"] {
        fs::copy(source.join(name), folder.path().join(name)).unwrap();
    }
    let set = |class: &str| {
        let settings = format!(r#"{{"tokenizer_class": "{class}", "add_prefix_space": true}}"#);
        fs::write(folder.path().join("tokenizer_config.json"), settings).unwrap();
        ids(folder.path())
    };
    assert_eq!(set("BartTokenizer"), set("RobertaTokenizer"));
    fs::remove_file(folder.path().join("tokenizer_config.json")).unwrap();
    fs::write(folder.path().join("config.json"), r#"{"model_type": "bart"}"#).unwrap();
    assert!(!ids(folder.path()).is_empty());
}

#[test]
fn what_cannot_be_converted_is_refused_with_the_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let error = |folder: &Path| TextTokenizer::open(&folder.join("tokenizer.json"), 16).unwrap_err().to_string();
    assert!(error(folder.path()).contains("tokenizer.json"), "{}", error(folder.path()));
    let config = folder.path().join("tokenizer_config.json");
    fs::write(&config, r#"{"tokenizer_class": "BertJapaneseTokenizer"}"#).unwrap();
    assert!(error(folder.path()).contains("AutoTokenizer"), "{}", error(folder.path()));
    fs::write(&config, r#"{"tokenizer_class": "XLMRobertaTokenizerFast"}"#).unwrap();
    for damaged in [&b""[..], b"\x0a", b"\x0a\x05ab", b"vocabulary", b"\x12\x02\x18\x02"] {
        fs::write(folder.path().join("sentencepiece.bpe.model"), damaged).unwrap();
        assert!(!error(folder.path()).is_empty(), "{damaged:?}");
    }
}
