//! Texts to vectors: against ONNX Runtime, and the same bits however a job is cut.

use std::{
    fs::{self, File},
    sync::OnceLock,
};

use gristmill::{
    Device, ErrorKind, KernelSet, Precision, SessionOptions,
    testing::import::hugging_face::{FolderOptions, open},
    text::{Embedder, EmbedderOptions, Pooling, TextTokenizer},
};
use proptest::prelude::*;

use crate::support::{
    data,
    folder::{self, Folder, Kind, Weights, encode, pool},
    forms::forms,
    npy,
    process::example,
};

/// How far a vector may be from ONNX Runtime's.
const BOUND: f32 = 1e-5;

fn minilm() -> &'static Embedder {
    static MODEL: OnceLock<Embedder> = OnceLock::new();
    MODEL.get_or_init(|| Embedder::open(data::data("minilm"), Device::Cpu).unwrap())
}

struct Golden {
    texts: Vec<String>,
    tokens: Vec<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
}

fn golden() -> Golden {
    let texts: Vec<String> = serde_json::from_reader(File::open(data::golden("minilm.json")).unwrap()).unwrap();
    let arrays = data::arrays("minilm.npz");
    let (tokens, offsets): (Vec<i32>, Vec<i64>) =
        (data::elements(&arrays, "tokens"), data::elements(&arrays, "offsets"));
    let vectors: Vec<f32> = data::elements(&arrays, "vectors");
    let tokens = offsets
        .windows(2)
        .map(|range| tokens[range[0] as usize..range[1] as usize].iter().map(|&token| token as u32).collect());
    let vectors = vectors.chunks_exact(384).map(<[f32]>::to_vec);
    let golden = Golden { texts, tokens: tokens.collect(), vectors: vectors.collect() };
    assert!(golden.texts.len() > 200 && golden.texts.len() == golden.tokens.len());
    assert_eq!(golden.texts.len(), golden.vectors.len());
    golden
}

fn difference(own: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(own.len(), expected.len());
    // NaN must not look like agreement.
    own.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, |most, x| if x <= most { most } else { x })
}

fn bits(vector: &[f32]) -> Vec<u32> {
    vector.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn tokens_are_those_of_the_reference() {
    let golden = golden();
    let tokenizer = TextTokenizer::open(&data::data("minilm").join("tokenizer.json"), 256).unwrap();
    for (text, tokens) in golden.texts.iter().zip(&golden.tokens) {
        let encoded = tokenizer.encode(text).unwrap();
        assert_eq!(&encoded.ids, tokens, "{:?}", text.chars().take(80).collect::<String>());
        assert!(encoded.type_ids.iter().all(|&id| id == 0));
        assert!(!encoded.truncated || tokens.len() == 256);
    }
}

#[test]
fn vectors_are_those_of_onnx_runtime() {
    let golden = golden();
    let embedder = minilm();
    assert_eq!((embedder.dimension(), embedder.max_tokens()), (384, 256));
    let before = embedder.describe().truncated;
    let mut results = embedder.map(golden.texts.clone());
    let mut most = 0.0;
    for (index, expected) in golden.vectors.iter().enumerate() {
        let vector = results.next().unwrap().unwrap();
        let own = difference(&vector, expected);
        assert!(own <= BOUND, "text {index} is {own} away");
        most = f32::max(most, own);
    }
    assert!(results.next().is_none());
    let report = results.report();
    println!("largest difference {most}");
    assert_eq!((report.items, report.errors), (golden.texts.len(), 0));
    // Texts that fill the limit exactly are not cut; the others of 256 tokens are.
    let full = golden.tokens.iter().filter(|tokens| tokens.len() == 256).count() as u64;
    assert!(report.truncated > 0 && report.truncated < full, "{} of {full}", report.truncated);
    assert!(before + report.truncated <= embedder.describe().truncated);
    assert_eq!(report.model_fingerprint.as_str().len(), 64);
}

#[test]
fn vectors_in_reduced_precisions_point_where_those_of_onnx_runtime_do() {
    for (precision, mean, least) in [(Precision::Bf16, 0.9995, 0.999), (Precision::Int8, 0.995, 0.98)] {
        let (own_mean, own_least) = cosines_to_f32(precision);
        println!("cosine of {precision} to f32: mean {own_mean}, least {own_least}");
        assert!(own_mean >= mean && own_least >= least, "{precision}: mean {own_mean}, least {own_least}");
    }
}

/// The mean and the least cosine between vectors in `precision` and those of ONNX Runtime in f32.
fn cosines_to_f32(precision: Precision) -> (f32, f32) {
    let golden = golden();
    let session = SessionOptions::on(Device::Cpu).precision(precision);
    let embedder = Embedder::open_with(data::data("minilm"), &EmbedderOptions::default().session(session)).unwrap();
    let (vectors, report) = embedder.bulk().run(&golden.texts);
    assert_eq!(report.precision, precision.to_string());
    let (mut least, mut sum) = (1.0_f32, 0.0);
    for (vector, expected) in vectors.into_iter().zip(&golden.vectors) {
        // Both have length 1.
        let cosine: f32 = vector.unwrap().iter().zip(expected).map(|(a, b)| a * b).sum();
        least = if cosine >= least { least } else { cosine };
        sum += cosine;
    }
    (sum / golden.vectors.len() as f32, least)
}

#[test]
fn real_vectors_are_the_same_bits_however_the_job_is_cut() {
    let golden = golden();
    let texts: Vec<&str> = golden.texts.iter().step_by(13).map(String::as_str).collect();
    for session in forms() {
        let options = EmbedderOptions::default().session(session.clone());
        let embedder = Embedder::open_with(data::data("minilm"), &options).unwrap();
        let bound = match session.precision {
            Precision::F32 => BOUND,
            Precision::Int8 => 6e-2,
            _ => 1e-2,
        };
        let expected: Vec<_> = golden.vectors.iter().step_by(13).collect();
        let alone = embedder.bulk().workers(1).chunk_size(1).run(&texts).0;
        let alone: Vec<Vec<f32>> = alone.into_iter().map(Result::unwrap).collect();
        for (own, expected) in alone.iter().zip(expected) {
            assert!(difference(own, expected) <= bound, "{session:?}");
        }
        let order: Vec<usize> = (0..texts.len()).map(|index| index * 37 % texts.len()).collect();
        let mixed: Vec<&str> = order.iter().map(|&index| texts[index]).collect();
        for (workers, chunk) in [(1, Some(64)), (2, Some(7)), (8, None)] {
            let mut bulk = embedder.bulk().workers(workers);
            if let Some(items) = chunk {
                bulk = bulk.chunk_size(items);
            }
            for (result, &index) in bulk.run(&mixed).0.into_iter().zip(&order) {
                assert!(bits(&result.unwrap()) == bits(&alone[index]), "{session:?} text {index}");
            }
        }
    }
}

fn synthetic(kernel_set: KernelSet) -> &'static Embedder {
    static MODELS: OnceLock<Vec<(KernelSet, Embedder)>> = OnceLock::new();
    let models = MODELS.get_or_init(|| {
        let path = Folder::new(Kind::Bert, Weights::F32).temporary();
        let load = |set: KernelSet| {
            let options = EmbedderOptions::default().session(SessionOptions::on(Device::Cpu).kernel_set(set));
            (set, Embedder::open_with(path.path(), &options).unwrap())
        };
        KernelSet::available().into_iter().map(load).collect()
    });
    &models.iter().find(|(set, _)| *set == kernel_set).unwrap().1
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn vectors_are_the_same_bits_however_the_job_is_cut(
        texts in proptest::collection::vec("[a-z ]{0,90}", 1..90),
        seed in any::<u64>(),
    ) {
        for set in KernelSet::available() {
            let embedder = synthetic(set);
            let alone: Vec<_> = texts.iter().map(|text| embedder.embed(&[text.as_str()]).unwrap().remove(0)).collect();
            let mut order: Vec<usize> = (0..texts.len()).collect();
            order.sort_by_key(|&index| (index as u64 + 1).wrapping_mul(seed | 1));
            let mixed: Vec<&str> = order.iter().map(|&index| texts[index].as_str()).collect();
            for workers in [1, 2, 8] {
                for chunk in [Some(1), Some(7), Some(64), None] {
                    let mut bulk = embedder.bulk().workers(workers);
                    if let Some(items) = chunk {
                        bulk = bulk.chunk_size(items);
                    }
                    for (result, &index) in bulk.run(&mixed).0.into_iter().zip(&order) {
                        prop_assert_eq!(bits(&result.unwrap()), bits(&alone[index]));
                    }
                }
            }
        }
    }
}

#[test]
fn a_text_becomes_what_the_formulas_say() {
    for (kind, pooling, mode) in [
        (Kind::Bert, Pooling::Mean, "mean"),
        (Kind::Roberta, Pooling::Cls, "cls"),
        (Kind::DistilBert, Pooling::Max, "max"),
    ] {
        let folder = Folder::new(kind, Weights::F32);
        let path = folder.temporary();
        let options = EmbedderOptions::on(Device::Cpu).pooling(pooling).normalize(false).max_tokens(10);
        let embedder = Embedder::open_with(path.path(), &options).unwrap();
        assert_eq!((embedder.dimension(), embedder.max_tokens()), (folder::HIDDEN, 10));
        let vocabulary = folder.tokenizer["model"]["vocab"].as_object().unwrap();
        let id = |piece: &str| vocabulary[piece].as_u64().unwrap() as u32;
        let cases: [(&str, Vec<u32>); 4] = [
            ("", vec![2, 3]),
            ("Milling a", vec![2, id("mill"), id("##ing"), id("a"), 3]),
            ("é?", vec![2, id("e"), 1, 3]),
            (
                "a b c d e f g h i j k",
                [2].into_iter().chain("abcdefgh".chars().map(|c| id(&c.to_string()))).chain([3]).collect(),
            ),
        ];
        let texts = cases.each_ref().map(|(text, _)| *text);
        let (vectors, report) = embedder.bulk().run(&texts);
        assert_eq!((report.truncated, embedder.describe().truncated), (1, 1));
        for ((text, ids), vector) in cases.iter().zip(vectors) {
            let expected: Vec<f32> = pool(&encode(&folder, ids), mode, false).into_iter().map(|x| x as f32).collect();
            let scale = expected.iter().fold(1.0, |scale: f32, x| scale.max(x.abs()));
            let own = difference(&vector.unwrap(), &expected);
            assert!(own <= BOUND * scale, "{kind:?} {text:?}: {own} away");
        }
    }
}

#[test]
fn what_does_not_fit_the_model_is_told() {
    let folder = Folder::new(Kind::Roberta, Weights::F32);
    let path = folder.temporary();
    for (tokens, part) in [(2, "leaves none"), (0, "leaves none"), (39, "38 positions")] {
        let error = Embedder::open_with(path.path(), &EmbedderOptions::default().max_tokens(tokens)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(error.to_string().contains(part), "{error}");
    }
    fs::remove_file(path.path().join("tokenizer.json")).unwrap();
    let error = Embedder::open(path.path(), Device::Cpu).unwrap_err();
    assert!(error.kind() == ErrorKind::Io && error.to_string().contains("`tokenizer.json` is missing"), "{error}");
    // The encoder alone needs no tokenizer.
    assert!(open(path.path(), &FolderOptions::default()).is_ok());
    // A tokenizer with more tokens than the model: an error of the texts that use them.
    let mut larger = folder.clone();
    larger.tokenizer["model"]["vocab"]["zz"] = 4000.into();
    let path = larger.temporary();
    let embedder = Embedder::open(path.path(), Device::Cpu).unwrap();
    let results: Vec<_> = embedder.map(["a", "zz", "b"]).collect();
    assert!(results[0].is_ok() && results[2].is_ok());
    let error = results[1].as_ref().unwrap_err();
    assert_eq!(error.index, 1);
    assert!(error.to_string().contains("4000"), "{error}");
}

/// Runs the example; the vectors, and what it said on stderr.
fn run(arguments: &[&str], texts: &[u8]) -> (Vec<Vec<f32>>, String) {
    let path = Folder::new(Kind::Bert, Weights::F32).temporary();
    let (input, out) = (path.path().join("texts"), path.path().join("out.npy"));
    fs::write(&input, texts).unwrap();
    let result = example("embed")
        .arg("--model")
        .arg(path.path())
        .arg(&input)
        .arg("--out")
        .arg(&out)
        .args(arguments)
        .output()
        .unwrap();
    let said = String::from_utf8(result.stderr).unwrap();
    let failed = said.contains("failed: their vectors are all NaN");
    assert_eq!(result.status.code(), Some(if failed { 3 } else { 0 }), "{said}");
    let (rows, columns) = npy::rows(&out);
    assert_eq!(columns, folder::HIDDEN);
    (rows, said)
}

#[test]
fn the_example_keeps_every_line_in_its_place() {
    let embedder = synthetic(KernelSet::detect());
    let mut texts = b"one\r\n\nnot \xff text\n".to_vec();
    texts.extend_from_slice(&b"word ".repeat(20_000));
    texts.extend_from_slice(b"\n");
    texts.extend_from_slice(&vec![b'x'; (16 << 20) + 1]);
    texts.extend_from_slice(b"\nlast");
    let (rows, said) = run(&["--workers", "2", "--max-tokens", "12"], &texts);
    assert_eq!(rows.len(), 6, "{said}");
    for (row, text) in [(0, "one"), (1, ""), (5, "last")] {
        assert_eq!(bits(&rows[row]), bits(&embedder.embed(&[text]).unwrap()[0]), "{text:?}");
    }
    assert!(rows[3].iter().all(|x| x.is_finite()));
    for (row, part) in [(2, "line 3: read: not UTF-8, at byte 4"), (4, "line 5: read: the line has 16777218 bytes")] {
        assert!(rows[row].iter().all(|x| x.is_nan()) && said.contains(part), "{said}");
    }
    assert!(said.contains("2 lines failed"), "{said}");
    assert_eq!(run(&[], b"").0.len(), 0);
    let (rows, said) = run(&["--field", "t"], b"{\"t\":\"one\"}\n{\"t\":1}\n{}\nno\n{\"t\":\"\"}\n");
    assert_eq!(rows.iter().map(|row| row[0].is_nan()).collect::<Vec<_>>(), [false, true, true, true, false], "{said}");
    assert_eq!(bits(&rows[0]), bits(&embedder.embed(&["one"]).unwrap()[0]));
}

#[test]
fn a_default_prompt_stands_before_each_text() {
    let mut folder = Folder::new(Kind::Bert, Weights::F32);
    let plain = Embedder::open(folder.temporary().path(), Device::Cpu).unwrap();
    let prompts = r#"{"prompts": {"query": "query: "}, "default_prompt_name": "query"}"#;
    folder.set_file("config_sentence_transformers.json", prompts);
    let prompted = Embedder::open(folder.temporary().path(), Device::Cpu).unwrap();
    let texts = ["a mill", "", "grain and more grain"];
    let whole: Vec<String> = texts.iter().map(|text| format!("query: {text}")).collect();
    let (own, expected) = (prompted.embed(&texts).unwrap(), plain.embed(&whole).unwrap());
    for (own, expected) in own.iter().zip(&expected) {
        assert_eq!(bits(own), bits(expected));
    }
    assert_ne!(prompted.describe().options, plain.describe().options);
}
