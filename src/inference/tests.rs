//! An adaptor forwards everything that its model says.

use std::sync::Arc;

use crate::{
    error::Result,
    inference::{Description, Hints, Inference, Pipeline, Slots},
};

/// A model whose every answer differs from the default.
struct Outspoken;

// No `..`: a new field must get an unusual value here.
const HINTS: Hints = Hints { preferred_chunk_cost: Some(11), first_chunk_items: 12, scratch_bytes: 13, in_flight: 14 };

fn description() -> Description {
    Description {
        device: "device".into(),
        kernel_set: "kernel set".into(),
        precision: "precision".into(),
        scratch_bytes_per_worker: 15,
        load_seconds: 16.0,
        model_fingerprint: "fingerprint".to_owned().into(),
        options: "options".into(),
        truncated: 17,
        padding: 18,
        notes: vec!["note".into()],
    }
}

impl Inference for Outspoken {
    type Input = u64;
    type Output = u64;

    fn infer(&self, chunk: &[&u64], out: &mut Slots<'_, u64>) -> Result<()> {
        chunk.iter().enumerate().for_each(|(index, input)| out.set(index, *input + 1));
        Ok(())
    }

    fn cost(&self, _: &u64) -> u64 {
        2
    }

    fn input_bytes(&self, _: &u64) -> usize {
        3
    }

    fn output_bytes(&self, _: &u64) -> usize {
        4
    }

    fn hints(&self) -> Hints {
        HINTS
    }

    fn ready_here(&self) -> bool {
        false
    }

    fn describe(&self) -> Description {
        description()
    }
}

/// The model of the defaults.
struct Silent;

impl Inference for Silent {
    type Input = u64;
    type Output = u64;

    fn infer(&self, _: &[&u64], _: &mut Slots<'_, u64>) -> Result<()> {
        Ok(())
    }
}

/// All answers of a model: those for an item, the hints and the rest.
fn answers(model: &impl Inference<Input = u64, Output = u64>) -> ([u64; 3], Hints, bool, Description) {
    let item = [model.cost(&1), model.input_bytes(&1) as u64, model.output_bytes(&1) as u64];
    (item, model.hints(), model.ready_here(), model.describe())
}

fn infer(model: &impl Inference<Input = u64, Output = u64>) -> u64 {
    let mut slots = [None];
    model.infer(&[&1], &mut Slots::new(&mut slots)).unwrap();
    slots[0].take().unwrap().unwrap()
}

#[test]
fn the_outspoken_model_differs_from_the_defaults_everywhere() {
    let (item, hints, ready, description) = answers(&Silent);
    let (other_item, other_hints, other_ready, other_description) = answers(&Outspoken);
    assert!(item.iter().zip(other_item).all(|(default, other)| *default != other));
    assert_ne!(hints.preferred_chunk_cost, other_hints.preferred_chunk_cost);
    assert_ne!(hints.first_chunk_items, other_hints.first_chunk_items);
    assert_ne!(hints.scratch_bytes, other_hints.scratch_bytes);
    assert_ne!(hints.in_flight, other_hints.in_flight);
    assert_ne!(ready, other_ready);
    assert_ne!(description, other_description);
}

#[test]
fn an_arc_forwards_everything() {
    let shared = Arc::new(Outspoken);
    assert_eq!(answers(&shared), answers(&Outspoken));
    assert_eq!(infer(&shared), 2);
}

#[test]
fn a_pipeline_forwards_all_that_does_not_depend_on_the_unprepared_item() {
    let pipeline = Pipeline::new(Outspoken).prepare(|item: &u64| Ok(*item));
    let ([cost, input_bytes, output_bytes], hints, ready, other) = answers(&pipeline);
    // Without `finish` a result is the model's output; the item is known by its size alone.
    assert_eq!([cost, input_bytes, output_bytes], [8, 8, 4]);
    assert_eq!(hints, Hints { preferred_chunk_cost: None, ..HINTS });
    assert!(!ready);
    assert_eq!(other, description());
    assert_eq!(infer(&pipeline), 2);
}

#[test]
fn the_setters_of_hints_set_every_field() {
    let hints = Hints::default().preferred_chunk_cost(11).first_chunk_items(12).scratch_bytes(13).in_flight(14);
    assert_eq!(hints, HINTS);
    assert_eq!(hints.preferred_chunk_cost(None).preferred_chunk_cost, None);
}
