//! A truncated text has the first tokens of the whole text.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn vocabulary() -> serde_json::Map<String, Value> {
    let letters = ('a'..='z').chain('0'..='9').chain("ΣσςÉéü中文.,-".chars());
    let words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "mill", "##ing", "grain", "##s"].map(str::to_owned);
    let pieces = words.into_iter().chain(letters.flat_map(|letter| [letter.to_string(), format!("##{letter}")]));
    pieces.enumerate().map(|(id, piece)| (piece, id.into())).collect()
}

fn template() -> Value {
    json!({"type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                   {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
        "pair": [],
        "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                           "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]}}})
}

fn added(content: &str, id: u32) -> Value {
    json!({"id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
           "special": true})
}

fn tokenizer(normalizer: Value, pre_tokenizer: Value, model: Value, more: &[Value]) -> Value {
    let mut tokens = vec![added("[PAD]", 0), added("[UNK]", 1), added("[CLS]", 2), added("[SEP]", 3)];
    tokens.extend_from_slice(more);
    json!({"version": "1.0", "added_tokens": tokens, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "post_processor": template(), "model": model,
        "truncation": {"max_length": 7, "strategy": "LongestFirst", "stride": 2},
        "padding": {"strategy": {"Fixed": 50}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0,
                    "pad_type_id": 0, "pad_token": "[PAD]"}})
}

fn word_piece() -> Value {
    json!({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
           "max_input_chars_per_word": 20, "vocab": vocabulary()})
}

fn bert() -> Value {
    let normalizer = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                            "strip_accents": null, "lowercase": true});
    tokenizer(normalizer, json!({"type": "BertPreTokenizer"}), word_piece(), &[])
}

/// A tokenizer as in RoBERTa: bytes, a regular expression, merges.
fn byte_level() -> Value {
    let alphabet = tokenizers::pre_tokenizers::byte_level::ByteLevel::alphabet();
    let mut pieces: Vec<String> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"].map(str::to_owned).into();
    let mut letters: Vec<String> = alphabet.into_iter().map(String::from).collect();
    letters.sort();
    pieces.extend(letters);
    pieces.extend(["th", "the", "Ġthe", "in", "ing", "ĠĠ"].map(str::to_owned));
    let vocabulary: serde_json::Map<String, Value> =
        pieces.into_iter().enumerate().map(|(id, piece)| (piece, id.into())).collect();
    let merges = json!([["t", "h"], ["th", "e"], ["Ġ", "the"], ["i", "n"], ["in", "g"], ["Ġ", "Ġ"]]);
    let model = json!({"type": "BPE", "vocab": vocabulary, "merges": merges, "unk_token": null, "dropout": null,
                       "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true});
    tokenizer(Value::Null, bytes, model, &[])
}

/// A tokenizer as in XLM-RoBERTa: words marked by a leading bar, pieces with scores.
fn unigram() -> Value {
    let letters = ('a'..='z').chain("0123456789éü中文.,- ▁".chars());
    let pieces = [("[PAD]", -1.0), ("[UNK]", -9.0), ("[CLS]", -1.0), ("[SEP]", -1.0), ("▁the", -2.0), ("ing", -3.0)];
    let mut vocabulary: Vec<Value> = pieces.map(|(piece, score)| json!([piece, score])).into();
    vocabulary.extend(letters.map(|letter| json!([letter.to_string(), -6.0])));
    let model = json!({"type": "Unigram", "unk_id": 1, "vocab": vocabulary, "byte_fallback": false});
    let words = json!({"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]});
    let normalizer = json!({"type": "Sequence", "normalizers": [{"type": "NFKC"},
        {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}]});
    tokenizer(normalizer, words, model, &[])
}

impl From<Tokenizer> for Parsed {
    fn from(tokenizer: Tokenizer) -> Self {
        Self { tokenizer, fingerprint: String::new() }
    }
}

fn open(settings: &Value, max_tokens: usize) -> TextTokenizer {
    TextTokenizer::new(Tokenizer::from_bytes(settings.to_string()).unwrap(), max_tokens).unwrap()
}

/// The first tokens of the whole text, truncated after tokenization.
fn whole(settings: &Value, max_tokens: usize, text: &str) -> (Vec<u32>, bool) {
    let mut tokenizer = Tokenizer::from_bytes(settings.to_string()).unwrap();
    tokenizer.with_truncation(None).unwrap().with_padding(None);
    let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    let kept = &ids[..ids.len().min(max_tokens - 2)];
    ([&[2], kept, &[3]].concat(), kept.len() < ids.len())
}

fn check(settings: &Value, text: &str) {
    for max_tokens in [3, 5, 30] {
        let encoded = open(settings, max_tokens).encode(text).unwrap();
        assert_eq!((encoded.ids, encoded.truncated), whole(settings, max_tokens, text), "{max_tokens}: {text:?}");
    }
}

/// Texts of up to a few thousand bytes with characters that could connect the two sides of a cut.
fn texts() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        8 => "[a-z]{1,7}",
        4 => Just(" ".to_owned()),
        2 => "[a-z0-9] [a-z0-9]",
        1 => " {1,5}",
        1 => "[ÉéüΣσς]{1,3}",
        1 => "[中文]{1,3}",
        1 => "[.,-]{1,3}",
        1 => "\u{301}|\u{200d}|\u{a0}|\u{2028}|\n|\t|\0",
        1 => "mill|grains|the|milling|\\[SEP\\]|\\[CLS\\]",
        1 => "q{19,45}",
    ];
    proptest::collection::vec(atom, 20..700).prop_map(|atoms| atoms.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_beginning_gives_the_tokens_of_the_whole(text in texts()) {
        for settings in [bert(), byte_level(), unigram()] {
            check(&settings, &text);
        }
    }
}

#[test]
fn the_known_kinds_are_cut() {
    for settings in [bert(), byte_level(), unigram()] {
        assert!(open(&settings, 5).cuttable, "{settings}");
    }
    let text = "grain mills ".repeat(1_000_000);
    assert_eq!(last_cut(&text, 301), Some(299));
    let tokenizer = open(&bert(), 10);
    let started = std::time::Instant::now();
    assert_eq!(tokenizer.encode(&text).unwrap().ids.len(), 10);
    assert!(started.elapsed().as_secs_f64() < 0.5, "only the beginning of 12 MB is looked at");
}

#[test]
fn whatever_could_tie_two_sides_together_forbids_the_cut() {
    let bert_with = |name: &str, value: Value| {
        let mut settings = bert();
        settings[name] = value;
        settings
    };
    let mut spaced = bert();
    spaced["added_tokens"].as_array_mut().unwrap().push(added("two words", 60));
    let mut left = bert();
    left["truncation"]["direction"] = "Left".into();
    let mut whole_regex = byte_level();
    whole_regex["pre_tokenizer"]["use_regex"] = false.into();
    let split =
        json!({"type": "Split", "pattern": {"Regex": "[a-z]+ [a-z]+"}, "behavior": "Isolated", "invert": false});
    let replace = json!({"type": "Replace", "pattern": {"String": "a b"}, "content": "c"});
    for settings in [
        spaced,
        left.clone(),
        whole_regex,
        bert_with("pre_tokenizer", split),
        bert_with("pre_tokenizer", Value::Null),
        bert_with("normalizer", replace),
    ] {
        assert!(!open(&settings, 5).cuttable, "{settings}");
    }
    // The direction in the file is kept, so the end of the text remains.
    let encoded = open(&left, 4).encode("a b c d").unwrap();
    let last = open(&bert(), 4).encode("c d").unwrap();
    assert_eq!((encoded.ids, encoded.truncated), (last.ids, true));
}

#[test]
fn a_regular_expression_never_sees_more_than_it_can_take() {
    let tokenizer = open(&byte_level(), 5);
    let error = tokenizer.encode(&" ".repeat(MAX_REGEX_BYTES + 1)).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Limit, "{error}");
    // Just below the limit, token counts grow evenly even for texts that make the engine backtrack.
    let mut parsed = Tokenizer::from_bytes(byte_level().to_string()).unwrap();
    parsed.with_truncation(None).unwrap().with_padding(None);
    for unit in ["  a", "\u{3000}\u{3000}b", "' ", "中  "] {
        let tokens = |count: usize| parsed.encode_fast(unit.repeat(count), false).unwrap().len();
        let (few, many) = (tokens(100), MAX_REGEX_BYTES / unit.len());
        assert_eq!(tokens(many), few + (many - 100) * (tokens(200) - few) / 100, "{unit:?}");
    }
    assert!(open(&byte_level(), 5).encode(&"some words ".repeat(100_000)).is_ok());
}

#[test]
fn an_empty_text_is_its_special_tokens() {
    for text in ["", " ", "\0"] {
        let encoded = open(&bert(), 5).encode(text).unwrap();
        assert_eq!((encoded.ids.as_slice(), encoded.truncated), (&[2, 3][..], false), "{text:?}");
    }
}

#[test]
fn a_limit_without_room_and_a_broken_file_are_errors() {
    let parsed = Tokenizer::from_bytes(bert().to_string()).unwrap();
    for max_tokens in [0, 1, 2] {
        assert!(TextTokenizer::new(parsed.clone(), max_tokens).is_err());
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let text = bert().to_string();
    for broken in
        ["", "{}", "[", "null", "{\"model\":{\"type\":\"WordPiece\"}}", &text[..text.len() / 2], &"[".repeat(100_000)]
    {
        std::fs::write(&path, broken).unwrap();
        let error = TextTokenizer::open(&path, 5).expect_err(broken).to_string();
        assert!(error.contains("tokenizer.json"), "{error}");
    }
    // A template that names a missing token must not panic, neither on opening nor on encoding.
    let mut settings = bert();
    settings["post_processor"]["special_tokens"]["[SEP]"]["ids"] = json!([]);
    std::fs::write(&path, settings.to_string()).unwrap();
    let _ = TextTokenizer::open(&path, 5).map(|tokenizer| tokenizer.encode("a b"));
}
