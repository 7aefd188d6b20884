//! A truncated text has the first tokens of the whole text.

mod plain_words;

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
        Self { tokenizer, direction: None, named: Named::default(), fingerprint: String::new() }
    }
}

fn open(settings: &Value, max_tokens: usize) -> TextTokenizer {
    TextTokenizer::new(Tokenizer::from_bytes(settings.to_string()).unwrap(), max_tokens).unwrap()
}

/// The kept tokens of the whole text, truncated after tokenization.
fn whole(settings: &Value, max_tokens: usize, text: &str) -> (Vec<u32>, bool) {
    let mut tokenizer = Tokenizer::from_bytes(settings.to_string()).unwrap();
    tokenizer.with_truncation(None).unwrap().with_padding(None);
    let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
    let special: [&[u32]; 2] = if settings["post_processor"].is_null() { [&[], &[]] } else { [&[2], &[3]] };
    let count = ids.len().min(max_tokens - special.concat().len());
    let kept = match settings["truncation"]["direction"] == "Left" {
        true => &ids[ids.len() - count..],
        false => &ids[..count],
    };
    ([special[0], kept, special[1]].concat(), kept.len() < ids.len())
}

fn check(settings: &Value, text: &str) {
    for max_tokens in [3, 5, 30] {
        let encoded = open(settings, max_tokens).encode(text).unwrap();
        assert_eq!(
            (encoded.ids, encoded.truncated),
            whole(settings, max_tokens, text),
            "{max_tokens}: {text:?} with {} {} {}",
            settings["normalizer"],
            settings["pre_tokenizer"],
            settings["truncation"]
        );
    }
}

fn with(mut settings: Value, name: &str, value: Value) -> Value {
    settings[name] = value;
    settings
}

fn leftwards(mut settings: Value) -> Value {
    settings["truncation"]["direction"] = "Left".into();
    settings
}

/// A tokenizer as in Gemma and Llama: merges over words marked by a leading bar.
fn merged_words() -> Value {
    let mut settings = byte_level();
    let vocabulary = settings["model"]["vocab"].as_object_mut().unwrap();
    for piece in ["▁", "▁the", "th", "the", "in", "ing", "中", "文", "中文"] {
        let id = vocabulary.len();
        vocabulary.entry(piece).or_insert(id.into());
    }
    settings["model"]["unk_token"] = "[UNK]".into();
    settings["model"]["merges"] = json!([["t", "h"], ["th", "e"], ["▁", "the"], ["i", "n"], ["in", "g"], ["中", "文"]]);
    settings["pre_tokenizer"] =
        json!({"type": "Metaspace", "replacement": "▁", "prepend_scheme": "first", "split": true});
    settings
}

/// A tokenizer of whole words.
fn word_level() -> Value {
    let model = json!({"type": "WordLevel", "vocab": vocabulary(), "unk_token": "[UNK]"});
    tokenizer(json!({"type": "Lowercase"}), json!({"type": "Whitespace"}), model, &[])
}

/// All kinds of tokenizers, also with added tokens that could span a cut.
fn kinds() -> Vec<Value> {
    let more = |content: &str, id: u32, name: &str| {
        let mut token = added(content, id);
        token["special"] = false.into();
        if !name.is_empty() {
            token[name] = true.into();
        }
        token
    };
    let bert_normalizer = |chinese: bool, lowercase: bool| {
        json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese, "strip_accents": null,
               "lowercase": lowercase})
    };
    let words = || json!({"type": "BertPreTokenizer"});
    let bert_with = |tokens: &[Value]| tokenizer(bert_normalizer(true, true), words(), word_piece(), tokens);
    let prefixed = json!({"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true});
    let marks = json!({"type": "Sequence", "pretokenizers": [{"type": "Punctuation", "behavior": "Isolated"},
        {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true}]});
    let next = json!({"type": "Punctuation", "behavior": "MergedWithNext"});
    let mut kinds = vec![
        bert(),
        tokenizer(bert_normalizer(false, true), words(), word_piece(), &[]),
        tokenizer(bert_normalizer(true, false), words(), word_piece(), &[]),
        bert_with(&[more("mill", 4, ""), more("a,b", 60, "")]),
        bert_with(&[more("<q", 60, ""), more("q>", 61, "normalized")]),
        bert_with(&[more(",q", 60, "single_word"), more(";q", 61, "rstrip"), more("-q", 62, "lstrip")]),
        bert_with(&[more("中文", 60, ""), more("文", 61, "single_word")]),
        bert_with(&[more("q", 60, "rstrip"), more("m", 61, "lstrip")]),
        byte_level(),
        with(byte_level(), "pre_tokenizer", prefixed),
        unigram(),
        with(unigram(), "pre_tokenizer", marks),
        merged_words(),
        word_level(),
        with(word_level(), "pre_tokenizer", next),
        with(bert(), "post_processor", Value::Null),
    ];
    kinds.extend(kinds.clone().into_iter().map(leftwards));
    kinds
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
        1 => "[,;<>q-]{1,60}",
        1 => "a,b|<q|q>|,q|;q |;q| -q|q |,\u{301}|中\u{301}|ΑΣ,a|ΑΣ中",
    ];
    proptest::collection::vec(atom, 20..700).prop_map(|atoms| atoms.concat())
}

/// Long texts almost without spaces: few characters, in long runs.
fn runs() -> impl Strategy<Value = String> {
    let run = prop_oneof![
        4 => "[中文]{1,300}",
        3 => "[qmil]{1,400}",
        3 => "([a-z0-9]{1,3}[,;|<>]){1,90}",
        1 => "[ぁ-ん]{1,300}",
        1 => "[가-힣]{1,300}",
        1 => " {1,300}",
        1 => "[éÉΣσς]{1,300}",
        1 => "\u{301}|\u{200d}|\0|\\[SEP\\]|a,b|<q|q>|,q|;q |文",
    ];
    proptest::collection::vec(run, 1..12).prop_map(|runs| runs.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_beginning_gives_the_tokens_of_the_whole(text in texts()) {
        for settings in kinds() {
            check(&settings, &text);
        }
    }

    #[test]
    fn long_runs_give_the_tokens_of_the_whole(text in runs()) {
        for settings in kinds() {
            check(&settings, &text);
        }
    }
}

#[test]
fn no_character_of_a_word_ends_it() {
    // What the shortener takes for a part of a word, by the crate's own tables.
    for chinese in [false, true] {
        let normalizer = json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese,
            "strip_accents": null, "lowercase": true});
        let tokenizer = open(&tokenizer(normalizer, json!({"type": "BertPreTokenizer"}), word_piece(), &[]), 200);
        let shortener = tokenizer.shortener.as_ref().unwrap();
        let mut checked = 0;
        for letter in ('\u{80}'..=char::MAX).filter(|letter| letter.is_alphanumeric()).step_by(31) {
            // The model gives a word of more than 20 characters one token.
            let text = format!("{0}{letter}{0}", "q".repeat(21));
            let long = letter.to_string().repeat(2_000);
            let ids = tokenizer.encode_whole(&text, tokenizer.text_tokens).unwrap().ids;
            let short = shortener.beginning(&long, 10_000).0;
            if short.len() < long.len() {
                checked += 1;
                assert_eq!(ids, [2, 1, 3], "{letter:?}");
                assert_eq!(tokenizer.encode_whole(&long, tokenizer.text_tokens).unwrap().ids, [2, 1, 3], "{letter:?}");
                assert_eq!(tokenizer.encode_whole(&short, tokenizer.text_tokens).unwrap().ids, [2, 1, 3], "{letter:?}");
            }
        }
        assert!(checked > 300, "{checked}");
    }
}

#[test]
fn the_known_kinds_are_cut() {
    for settings in [bert(), byte_level(), unigram(), merged_words(), word_level()] {
        assert!(open(&settings, 5).cuts.any() && open(&leftwards(settings.clone()), 5).cuts.any(), "{settings}");
    }
    let text = "grain mills ".repeat(25);
    assert_eq!(open(&bert(), 5).cuts.kept(&text), Some(&text[..293]));
    assert_eq!(open(&leftwards(bert()), 5).cuts.kept(&text), Some(&text[5..]));
    let long = [
        "grain mills ".repeat(1_000_000),
        "中文".repeat(2_500_000),
        "grain,mills;12|".repeat(1_000_000),
        format!("{} {}", "q".repeat(15_000_000), "grain ".repeat(20)),
    ];
    for settings in [bert(), leftwards(bert())] {
        let tokenizer = open(&settings, 10);
        for text in &long {
            let started = std::time::Instant::now();
            match tokenizer.encode(text) {
                Ok(encoded) => assert_eq!((encoded.ids.len(), encoded.truncated), (10, true)),
                Err(error) => panic!("{error}"),
            }
            assert!(started.elapsed().as_secs_f64() < 10.0, "only a part of 15 MB is tokenized");
        }
    }
    // A word longer than any token is one unknown token, however long it is.
    let encoded = open(&bert(), 10).encode(&format!("mill {} mill", "q".repeat(15_000_000))).unwrap();
    assert_eq!((encoded.ids, encoded.truncated), (vec![2, 4, 1, 4, 3], false));
}

#[test]
fn what_cannot_be_cut_is_bounded() {
    let text = "中文".repeat(2_500_000);
    for settings in [byte_level(), unigram(), merged_words(), leftwards(byte_level())] {
        let error = open(&settings, 5).encode(&text).unwrap_err();
        assert_eq!(error.kind(), crate::ErrorKind::Limit, "{error}");
        assert!(error.to_string().contains("400000 bytes at once"), "{error}");
    }
}

#[test]
fn whatever_could_tie_two_sides_together_forbids_the_cut() {
    let spaced = tokenizer(Value::Null, json!({"type": "WhitespaceSplit"}), word_piece(), &[added("two words", 60)]);
    let mut whole_regex = byte_level();
    whole_regex["pre_tokenizer"]["use_regex"] = false.into();
    let split =
        json!({"type": "Split", "pattern": {"Regex": "[a-z]+ [a-z]+"}, "behavior": "Isolated", "invert": false});
    let replace = json!({"type": "Replace", "pattern": {"String": "a b"}, "content": "c"});
    for settings in [
        spaced,
        whole_regex,
        with(bert(), "pre_tokenizer", split),
        with(bert(), "pre_tokenizer", Value::Null),
        with(bert(), "normalizer", replace),
    ] {
        assert!(!open(&settings, 5).cuts.any(), "{settings}");
    }
    // The direction in the file is kept, so the end of the text remains.
    let encoded = open(&leftwards(bert()), 4).encode("a b c d").unwrap();
    let last = open(&bert(), 4).encode("c d").unwrap();
    assert_eq!((encoded.ids, encoded.truncated), (last.ids, true));
}

#[test]
fn a_regular_expression_never_sees_more_than_it_can_take() {
    let tokenizer = open(&byte_level(), 5);
    let error = tokenizer.encode(&" ".repeat(MAX_BYTES + 1)).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::Limit, "{error}");
    // Just below the limit, token counts grow evenly even for texts that make the engine backtrack.
    let mut parsed = Tokenizer::from_bytes(byte_level().to_string()).unwrap();
    parsed.with_truncation(None).unwrap().with_padding(None);
    for unit in ["  a", "\u{3000}\u{3000}b", "' ", "中  "] {
        let tokens = |count: usize| parsed.encode_fast(unit.repeat(count), false).unwrap().len();
        let (few, many) = (tokens(100), MAX_BYTES / unit.len());
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

/// Writes a tokenizer and opens it, with texts truncated to 64 tokens.
fn open_file(settings: &Value) -> Result<TextTokenizer> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, settings.to_string()).unwrap();
    TextTokenizer::open(&path, 64)
}

fn split_by(pattern: &str) -> Value {
    let split = json!({"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Removed", "invert": false});
    with(bert(), "pre_tokenizer", split)
}

#[test]
fn a_hostile_file_is_refused_when_it_is_opened() {
    let grow = json!({"type": "Replace", "pattern": {"String": "a"}, "content": "aaaaaaaaaa"});
    let mut quadratic = bert();
    quadratic["model"]["max_input_chars_per_word"] = 1_000_000_000.into();
    let mut huge = bert();
    huge["added_tokens"].as_array_mut().unwrap().push(added(&"z".repeat(50_000_000), 60));
    // Such a token would be found in one place without end.
    let mut vanishing = with(bert(), "normalizer", json!({"type": "Strip", "strip_left": true, "strip_right": true}));
    let blank = with(added("  ", 60), "normalized", true.into());
    vanishing["added_tokens"].as_array_mut().unwrap().push(blank);
    let mut undefined = bert();
    undefined["post_processor"]["special_tokens"] = json!({});
    let mut empty = bert();
    empty["model"]["vocab"] = json!({});
    let mut random = byte_level();
    random["model"]["dropout"] = 0.1.into();
    let mut many = bert();
    many["pre_tokenizer"] = json!({"type": "Sequence", "pretokenizers": vec![&split_by("a")["pre_tokenizer"]; 40]});
    let mut long = unigram();
    long["model"]["vocab"].as_array_mut().unwrap().push(json!(["a".repeat(600), -1.0]));
    // Four bytes of length, no index, and a text of 99 bytes.
    let table = format!("AAAAA{}", "A".repeat(3) + &"YWFh".repeat(33));
    let files = [
        (with(bert(), "normalizer", json!({"type": "Sequence", "normalizers": vec![grow; 9]})), "bytes of one"),
        (with(bert(), "normalizer", json!({"type": "Prepend", "prepend": "a".repeat(100)})), "prepends 100 bytes"),
        (with(bert(), "normalizer", json!({"type": "Precompiled", "precompiled_charsmap": table})), "recompiled"),
        (split_by(r"(?=(a+))\1*b"), "refers to its own groups"),
        (split_by(r"(?:(a)|(a\1?))+(?!a| )b\1|\s"), "refers to its own groups"),
        (quadratic, "max_input_chars_per_word"),
        (huge, "bytes in an added token"),
        (vanishing, "leaves nothing of the added token \"  \""),
        (undefined, "does not define"),
        (empty, "empty vocabulary"),
        (random, "random"),
        (many, "regular expressions"),
        (long, "bytes in an entry"),
    ];
    for (settings, part) in files {
        let started = std::time::Instant::now();
        let error = open_file(&settings).expect_err(part).to_string();
        assert!(error.contains(part) && error.contains("tokenizer.json"), "{part}: {error}");
        assert!(started.elapsed().as_secs_f64() < 5.0, "{error}");
    }
}

#[test]
fn a_decoder_that_is_no_unicode_is_an_error_without_a_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let settings = with(bert(), "decoder", json!({"type": "WordPiece", "prefix": "ROGUE", "cleanup": true}));
    std::fs::write(&path, settings.to_string()).unwrap();
    TextTokenizer::open(&path, 8).unwrap();
    std::fs::write(&path, settings.to_string().replace("ROGUE", "\\ud800")).unwrap();
    let error = TextTokenizer::open(&path, 8).unwrap_err().to_string();
    assert!(error.contains("is not a tokenizer: ") && !error.contains("panicked"), "{error}");
}

#[test]
fn a_pattern_that_gives_up_is_the_error_of_that_text() {
    let tokenizer = open_file(&split_by(r"(?:a|a)+(?!c)b|\s")).unwrap();
    let plain = open_file(&split_by(r"\s")).unwrap();
    let text = "hello world again";
    assert_eq!(tokenizer.encode(text).unwrap(), plain.encode(text).unwrap());
    let error = tokenizer.encode(&format!("{} {text}", "a".repeat(40))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("gives up on this text"), "{error}");
    let error = tokenizer.encode(&"a".repeat(200_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit, "{error}");
    // Patterns in use take long texts.
    let known = json!({"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": steps::KNOWN[2]}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": false, "use_regex": false}]});
    let tokenizer = open_file(&with(byte_level(), "pre_tokenizer", known)).unwrap();
    assert!(tokenizer.encode(&"some words, 12 ".repeat(20_000)).unwrap().truncated);
}

#[test]
fn damaged_files_are_errors_or_tokenizers() {
    let mut seed = 0x5eed_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    let (mut opened, mut refused) = (0, 0);
    for settings in [bert(), byte_level(), unigram(), merged_words(), word_level()] {
        let text = settings.to_string().into_bytes();
        for _ in 0..150 {
            let mut damaged = text.clone();
            for _ in 0..=below(3) {
                let at = below(damaged.len());
                match below(3) {
                    0 => damaged[at] = b"0123456789\"{}[],:-ea"[below(20)],
                    1 => drop(damaged.splice(at..at, b"00000".iter().copied())),
                    _ => drop(damaged.drain(at..(at + below(40)).min(damaged.len()))),
                }
            }
            std::fs::write(&path, &damaged).unwrap();
            match TextTokenizer::open(&path, 16) {
                Ok(tokenizer) => {
                    opened += 1;
                    for text in ["", "the mill grinds 12 grains.", "中文 \u{301}\0[SEP]", &"ab ".repeat(2_000)] {
                        let _ = catch(|| tokenizer.encode(text));
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
                }
            }
        }
    }
    assert!(opened > 20 && refused > 20, "{opened} opened, {refused} refused");
}

/// The tokens of a text by a tokenizer with settings files beside it.
fn beside(settings: &Value, files: &[(&str, Value)], text: &str) -> Result<Vec<u32>> {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content.to_string()).unwrap();
    }
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, settings.to_string()).unwrap();
    Ok(TextTokenizer::open(&path, 6)?.encode(text)?.ids)
}

#[test]
fn the_settings_beside_the_file_count() {
    let ids = |settings: &Value, text: &str| open(settings, 6).encode(text).unwrap().ids;
    let config = |settings: Value| vec![("tokenizer_config.json", settings)];
    let normalized = |chinese: bool, strip: Value, lowercase: bool| {
        with(
            bert(),
            "normalizer",
            json!({"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": chinese,
                   "strip_accents": strip, "lowercase": lowercase}),
        )
    };
    let classes = ["BertTokenizer", "BertTokenizerFast", "DistilBertTokenizer", "MPNetTokenizer", "ElectraTokenizer"];
    for class in classes {
        for (settings, same) in [
            (json!({"do_lower_case": false}), normalized(true, Value::Null, false)),
            (json!({"tokenize_chinese_chars": false}), normalized(false, Value::Null, true)),
            (json!({"strip_accents": false}), normalized(true, false.into(), true)),
            (json!({"truncation_side": "left"}), leftwards(bert())),
        ] {
            let mut settings = settings;
            settings["tokenizer_class"] = class.into();
            for text in ["Grain É mills a b c d e f", "中文中文 é", "mill É"] {
                assert_eq!(beside(&bert(), &config(settings.clone()), text).unwrap(), ids(&same, text), "{settings}");
            }
        }
    }
    // Other classes do not read them.
    let generic = json!({"do_lower_case": false, "tokenizer_class": "PreTrainedTokenizerFast"});
    assert_eq!(beside(&bert(), &config(generic), "Grain").unwrap(), ids(&bert(), "Grain"));
    // The side in tokenizer.json counts where the settings are silent.
    assert_eq!(beside(&leftwards(bert()), &[], "a b c d e f").unwrap(), ids(&leftwards(bert()), "a b c d e f"));
    let right = json!({"truncation_side": "right"});
    assert_eq!(beside(&leftwards(bert()), &config(right), "a b c d e f").unwrap(), ids(&bert(), "a b c d e f"));
    let prefix = json!({"add_prefix_space": true, "tokenizer_class": "RobertaTokenizer"});
    assert_eq!(beside(&byte_level(), &config(prefix), "the").unwrap(), ids(&byte_level(), " the"));
}

#[test]
fn the_tokens_around_a_text_are_those_that_the_settings_name() {
    let ids = |settings: Value| beside(&bert(), &[("tokenizer_config.json", settings)], "mill");
    let (first, mill, last) = (2, 4, 3);
    let cases: [(Value, Value, &[u32]); 6] = [
        (true.into(), true.into(), &[first, mill, last]),
        (true.into(), false.into(), &[first, mill]),
        (false.into(), true.into(), &[mill, last]),
        (false.into(), false.into(), &[mill]),
        (Value::Null, true.into(), &[first, mill, last]),
        (true.into(), Value::Null, &[first, mill]),
    ];
    for (class, (begin, end, want)) in ["LlamaTokenizer", "GemmaTokenizerFast"]
        .into_iter()
        .flat_map(|class| cases.iter().map(move |case| (class, case)))
    {
        let settings = json!({"tokenizer_class": class, "add_bos_token": begin, "add_eos_token": end,
                              "bos_token": "[CLS]", "eos_token": {"content": "[SEP]"}});
        assert_eq!(ids(settings).unwrap(), *want, "{class} {begin} {end}");
    }
    let other = json!({"tokenizer_class": "PreTrainedTokenizerFast", "add_eos_token": false, "add_bos_token": false});
    assert_eq!(ids(other).unwrap(), [first, mill, last]);
    let silent = json!({"tokenizer_class": "LlamaTokenizer", "bos_token": "[CLS]"});
    assert_eq!(ids(silent).unwrap(), [first, mill, last]);
    let nameless = json!({"tokenizer_class": "LlamaTokenizer", "bos_token": "[CLS]", "add_eos_token": true});
    let error = ids(nameless).unwrap_err().to_string();
    assert!(error.contains("add_eos_token is true, but the token is not named"), "{error}");
}

#[test]
fn tokens_beside_the_file_are_added() {
    let ids = |files: &[(&str, Value)], text: &str| beside(&bert(), files, text).unwrap();
    let (mill, unknown) = (4, 1);
    let count = vocabulary().len() as u32;
    let token = |content: &str, special: bool| {
        json!({"content": content, "lstrip": false, "rstrip": false, "normalized": false, "single_word": false,
               "special": special})
    };
    // Known as a piece, so its id is that of the piece, wherever the settings put it.
    let decoder = json!({"added_tokens_decoder": {"900": token("mill", false), "901": token("<new>", true)}});
    let files = [("tokenizer_config.json", decoder)];
    assert_eq!(ids(&files, "amill"), [2, 8, mill, 3]);
    assert_eq!(ids(&files, "<new>"), [2, count, 3]);
    assert_ne!(ids(&[], "amill"), [2, 8, mill, 3]);
    // Without that setting the older files count.
    let older =
        [("special_tokens_map.json", json!({"mask_token": "[MASK]"})), ("added_tokens.json", json!({"<x>": 77}))];
    assert_eq!(ids(&older, "[MASK]").len(), 3);
    assert_eq!(ids(&older, "a<x>").len(), 4);
    assert_ne!(ids(&older, "[MASK]")[1], unknown);
    let both = [older[0].clone(), older[1].clone(), files[0].clone()];
    assert_eq!(ids(&both, "[MASK]"), ids(&[], "[MASK]"));
    // Special tokens in texts are split where the settings say so.
    let split = [("tokenizer_config.json", json!({"split_special_tokens": true}))];
    assert_eq!((ids(&[], "[SEP]"), ids(&split, "[SEP]")), (vec![2, 3, 3], ids(&split, "[sep]")));
}

#[test]
fn damaged_settings_beside_the_file_are_errors() {
    for (name, content, part) in [
        ("tokenizer_config.json", json!([]), "tokenizer_config.json"),
        ("tokenizer_config.json", json!({"do_lower_case": "yes"}), "do_lower_case"),
        ("tokenizer_config.json", json!({"truncation_side": "top"}), "truncation_side"),
        ("tokenizer_config.json", json!({"added_tokens_decoder": {"x": {"content": "a"}}}), "added_tokens_decoder"),
        ("tokenizer_config.json", json!({"added_tokens_decoder": {"1": {}}}), "without content"),
        ("tokenizer_config.json", json!({"added_tokens_decoder": {"1": {"content": "a", "lstrip": 1}}}), "properties"),
        ("tokenizer_config.json", json!({"cls_token": {"content": "z".repeat(10_000)}}), "limit"),
        ("special_tokens_map.json", json!({"cls_token": 5}), "cls_token"),
        ("added_tokens.json", json!({"a": "b"}), "added_tokens.json"),
    ] {
        let error = beside(&bert(), &[(name, content)], "a").expect_err(part).to_string();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn damaged_settings_never_panic() {
    let mut seed = 7_u64;
    let mut below = |bound: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % bound
    };
    let token = json!({"content": "<new>", "lstrip": true, "rstrip": false, "normalized": true, "single_word": true,
                       "special": true});
    let config = json!({"tokenizer_class": "BertTokenizer", "do_lower_case": false, "strip_accents": null,
        "tokenize_chinese_chars": false, "truncation_side": "left", "add_prefix_space": true, "cls_token": "[CLS]",
        "additional_special_tokens": ["<x>", token], "added_tokens_decoder": {"4": token, "90": token},
        "model_max_length": 1e30, "split_special_tokens": true});
    let files = [
        ("tokenizer_config.json", config.to_string()),
        ("special_tokens_map.json", json!({"mask_token": token, "unk_token": "[UNK]"}).to_string()),
        ("added_tokens.json", json!({"<y>": 70, "mill": 4}).to_string()),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokenizer.json");
    std::fs::write(&path, bert().to_string()).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for _ in 0..600 {
        for (name, text) in &files {
            let mut damaged = text.clone().into_bytes();
            for _ in 0..below(3) {
                let at = below(damaged.len());
                damaged[at] = b"0123456789\"{}[],:-eatfn\\"[below(24)];
            }
            std::fs::write(folder.path().join(name), damaged).unwrap();
        }
        match TextTokenizer::open(&path, 16) {
            Ok(tokenizer) => {
                opened += 1;
                let _ = tokenizer.encode("the mill <new> <x><y> [CLS] É 中文");
            }
            Err(error) => {
                refused += 1;
                assert!(!matches!(error.kind(), ErrorKind::Internal | ErrorKind::Panic), "{error}");
            }
        }
    }
    assert!(opened > 20 && refused > 20, "{opened} opened, {refused} refused");
}
