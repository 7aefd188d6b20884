//! Words of plain texts have the tokens of the whole tokenizer.

use tokenizers::ModelWrapper;

use super::*;

/// Texts of ASCII, with what only looks plain among it.
fn ascii() -> impl Strategy<Value = String> {
    let atom = prop_oneof![
        6 => "[A-Za-z]{1,7}",
        6 => Just(" ".to_owned()),
        2 => "mill|Grains|THE|milling|grain",
        1 => "[0-9]{1,4}",
        1 => "[!-/:-@\\[-`{-~]{1,3}",
        1 => "[ \t\n\r]{1,3}",
        1 => "Q{19,22}",
    ];
    let rare = prop_oneof![4 => Just(String::new()), 1 => "\u{7f}|\u{b}|\u{c}|\0|\\[SEP\\]|\\[sep\\]|é|<ent>| <ENT>"];
    (proptest::collection::vec(atom, 0..60), rare, proptest::collection::vec("[a-z ]{0,9}", 0..3))
        .prop_map(|(atoms, rare, rest)| atoms.concat() + &rare + &rest.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plain_texts_give_the_tokens_of_the_tokenizer(text in ascii()) {
        for settings in plain_kinds() {
            check(&settings, &text);
            check_table(&settings, &text);
        }
    }
}

/// As `check`, with the table of short words, which else is made after many texts.
fn check_table(settings: &Value, text: &str) {
    for max_tokens in [3, 5, 30] {
        let tokenizer = open(settings, max_tokens);
        let ModelWrapper::WordPiece(model) = tokenizer.tokenizer.get_model() else { panic!("no WordPiece") };
        assert!(tokenizer.plain_words.as_ref().unwrap().make_table(model).is_some());
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!((encoded.ids, encoded.truncated), whole(settings, max_tokens, text), "{max_tokens}: {text:?}");
    }
}

#[test]
fn the_table_is_made_by_many_texts() {
    let tokenizer = open(&bert(), 30);
    let all: Vec<_> = (0..600).map(|_| tokenizer.encode("Milling grains, 7 mills").unwrap().ids).collect();
    assert!(all.iter().all(|ids| *ids == whole(&bert(), 30, "Milling grains, 7 mills").0));
    assert!(tokenizer.plain_words.unwrap().has_table());
}

/// Tokenizers as BERT's in all that counts for plain texts.
fn plain_kinds() -> [Value; 5] {
    let cased = with(
        bert(),
        "normalizer",
        json!({"type": "BertNormalizer", "clean_text": false,
        "handle_chinese_chars": true, "strip_accents": true, "lowercase": false}),
    );
    let mut marked = bert();
    let tokens = marked["added_tokens"].as_array_mut().unwrap();
    let mut entity = added("<ent>", vocabulary().len().try_into().unwrap());
    (entity["normalized"], entity["lstrip"]) = (true.into(), true.into());
    tokens.push(entity);
    let limited = with(bert(), "truncation", Value::Null);
    [bert(), cased, marked, limited, with(bert(), "post_processor", Value::Null)]
}

#[test]
fn words_are_looked_up_only_where_that_is_exact() {
    for settings in plain_kinds() {
        assert!(open(&settings, 5).plain_words.is_some(), "{settings}");
    }
    let mut named = bert();
    named["added_tokens"].as_array_mut().unwrap().push(added("mill", 4));
    let mut twice = bert();
    let text = json!({"Sequence": {"id": "A", "type_id": 0}});
    twice["post_processor"]["single"].as_array_mut().unwrap().push(text);
    for settings in [leftwards(bert()), byte_level(), unigram(), merged_words(), word_level(), named, twice] {
        assert!(open(&settings, 5).plain_words.is_none(), "{settings}");
    }
}
