//! `Precision::Auto`: what it settles for, and that all results of a session are of one precision.

use gristmill::{
    Device, Inference, ItemError, KernelSet, Model, Precision, Session, SessionOptions, Tensor, Tensors, bulk::Bulk,
};

fn load(options: &SessionOptions) -> gristmill::Result<Session> {
    let bytes = include_bytes!("../../examples/models/magika/model.onnx");
    Model::from_bytes(bytes).unwrap().session(options)
}

fn session(precision: Precision) -> Session {
    load(&SessionOptions::on(Device::Cpu).precision(precision)).unwrap()
}

/// Inputs of the file type model, no two alike.
fn items(count: usize) -> Vec<Tensors> {
    let item = |index: usize| {
        let byte = |place: usize| ((place * (7 + index % 5) + index * 31) % 96 + 32) as i32;
        let bytes: Vec<i32> = (0..2048).map(byte).collect();
        Tensors::from([("bytes", Tensor::new([1, 2048], &bytes).unwrap())])
    };
    (0..count).map(item).collect()
}

fn bits(outputs: Vec<Result<Tensors, ItemError>>) -> Vec<Vec<u8>> {
    let bytes = |outputs: Tensors| outputs.iter().flat_map(|(_, y)| y.bytes().to_vec()).collect();
    outputs.into_iter().map(|outputs| bytes(outputs.unwrap())).collect()
}

fn note(session: &Session) -> String {
    let notes = session.describe().notes;
    let own: Vec<_> = notes.iter().filter(|note| note.starts_with("precision auto")).collect();
    assert_eq!(own.len(), 1, "{notes:?}");
    own[0].clone()
}

#[test]
fn an_impossible_bound_means_f32() {
    let items = items(6);
    let session = session(Precision::Auto { min_cosine: 1.0 });
    assert_eq!((session.precision(), session.describe().precision.as_str()), (None, "auto"));
    let expected = bits(Bulk::new(self::session(Precision::F32)).run(&items).0);
    let bulk = Bulk::new(session).workers(3).chunk_size(1);
    let (results, report) = bulk.run(&items);
    assert_eq!(bits(results), expected);
    assert_eq!(report.precision, "f32");
    assert_eq!(report.notes.iter().filter(|note| note.starts_with("precision auto: f32: ")).count(), 1);
}

#[test]
fn a_reduced_precision_is_taken_where_it_holds_and_pays() {
    let items = items(12);
    let forms = [Precision::F32, Precision::Bf16, Precision::Int8]
        .map(|precision| bits(Bulk::new(session(precision)).run(&items).0));
    assert_ne!(forms[0], forms[1]);
    assert_ne!(forms[0], forms[2]);
    for (workers, chunk) in [(1, 12), (3, 1), (2, 5)] {
        let auto = Bulk::new(session(Precision::Auto { min_cosine: 0.9 })).workers(workers).chunk_size(chunk);
        let (results, report) = auto.run(&items);
        // Which is fastest is for the machine to say; a set without instructions for bf16 never pays.
        let form = match report.precision.as_str() {
            "f32" => 0,
            "bf16" => 1,
            "int8" => 2,
            other => panic!("{other}"),
        };
        assert!(form != 1 || KernelSet::detect_bf16().has_bf16());
        assert_eq!(bits(results), forms[form], "{workers} workers, chunks of {chunk}");
        println!("{:?}", report.notes);
    }
}

#[test]
fn a_job_gives_a_sample_that_is_worth_measuring() {
    let session = std::sync::Arc::new(session(Precision::Auto { min_cosine: 0.9 }));
    assert_eq!(session.hints().first_chunk_items, 32);
    let (results, report) = Bulk::new(session.clone()).workers(2).run(&items(40));
    assert!(results.iter().all(Result::is_ok));
    assert_eq!(session.hints().first_chunk_items, 1);
    if KernelSet::detect_bf16().has_bf16() {
        let note = note(&session);
        assert!(note.contains("on 32 inputs"), "{note}");
        assert_eq!(report.chunk_items.max, 32);
    }
}

#[test]
fn a_sample_of_the_callers_own_settles_it() {
    let items = items(40);
    let sample: Vec<&Tensors> = items.iter().collect();
    let session = session(Precision::Auto { min_cosine: 0.9 });
    let weights = session.weight_bytes();
    let settled = session.settle(&sample);
    assert_eq!(session.precision(), Some(settled));
    let note = note(&session);
    assert!(note.contains(&settled.to_string()), "{note}");
    if settled != Precision::F32 {
        assert!(note.contains("20 inputs") && note.contains("x the speed of f32"), "{note}");
        assert!(session.weight_bytes() < weights, "the weights are of the form that was chosen");
    }
    // Nothing is chosen twice.
    assert_eq!(session.settle(&[]), settled);
}

#[test]
fn inputs_that_are_not_the_models_are_no_sample() {
    let session = session(Precision::AUTO);
    let wrong = Tensors::from([("bytes", Tensor::new([1, 3], &[1_i32, 2, 3]).unwrap())]);
    assert!(session.run(&wrong).is_err());
    assert_eq!(session.precision(), None);
    assert!(session.run(&items(1)[0]).is_ok());
    assert!(session.precision().is_some());
}

#[test]
fn precisions_have_names() {
    let of = |text: &str| text.parse::<Precision>();
    assert_eq!(of("bf16").unwrap(), Precision::Bf16);
    assert_eq!(of("int8").unwrap(), Precision::Int8);
    assert_eq!(of("auto").unwrap(), Precision::AUTO);
    assert_eq!(of("auto:0.9995").unwrap(), Precision::Auto { min_cosine: 0.9995 });
    for wrong in ["auto:", "auto:2", "auto:nan", "bf8"] {
        assert!(of(wrong).is_err(), "{wrong}");
    }
    for min_cosine in [f32::NAN, 1.5, -2.0] {
        assert!(load(&SessionOptions::default().precision(Precision::Auto { min_cosine })).is_err());
    }
    let error = of("int4").unwrap_err().to_string();
    assert!(error.contains("`int4`") && error.contains("f32, f16, bf16, int8, auto"), "{error}");
}
