//! Once a session has seen its largest chunk, a further one allocates its outputs and a short list of its items, and
//! nothing for values, scratch or plans.

use std::collections::BTreeMap;

use gristmill::{Device, Inference, KernelSet, Model, Session, SessionOptions, Slots, Tensor, Tensors};

use crate::allocation::allocated;

/// Lists of a chunk and of a run, however many items and operators there are.
const A_CHUNK: usize = 3;
/// The list of an item's tensors, and what its outputs come in.
const AN_ITEM: usize = 2;

fn item(index: usize) -> Tensors {
    let tokens: Vec<i32> = (0..2048).map(|place| ((place * 31 + index * 7) % 257) as i32).collect();
    Tensors::from([("bytes", Tensor::new([1, 2048], &tokens).unwrap())])
}

fn infer(session: &Session, chunk: &[&Tensors]) -> Vec<Tensors> {
    let mut slots = Vec::new();
    slots.resize_with(chunk.len(), || None);
    session.infer(chunk, &mut Slots::new(&mut slots)).unwrap();
    slots.into_iter().map(|slot| slot.unwrap().unwrap()).collect()
}

#[test]
fn a_further_chunk_allocates_its_outputs_only() {
    let model = include_bytes!("../../examples/models/magika/model.onnx");
    for set in KernelSet::available() {
        let options = SessionOptions::on(Device::Cpu).kernel_set(set);
        let session = Model::from_bytes(model).unwrap().session(&options).unwrap();
        let items: Vec<Tensors> = (0..5).map(item).collect();
        let items: Vec<&Tensors> = items.iter().collect();
        infer(&session, &items);
        let mut counts = BTreeMap::new();
        for count in [1, 2, 5, 5] {
            let (outputs, whole) = allocated(|| infer(&session, &items[..count]));
            // The same outputs made by hand, and the slots.
            let (_, by_hand) = allocated(|| {
                let copy = |name: &str, tensor: &Tensor| {
                    Tensors::new()
                        .with(name, Tensor::from_bytes(tensor.dtype(), tensor.shape(), tensor.bytes()).unwrap())
                };
                let copies = outputs.iter().flat_map(|own| own.iter().map(|(name, tensor)| copy(name, tensor)));
                let mut slots = Vec::new();
                slots.resize_with(count, || None::<gristmill::Result<Tensors>>);
                (slots, copies.collect::<Vec<_>>())
            });
            let more = whole.count.saturating_sub(by_hand.count);
            println!("{set}: {count} items: {whole:?}, outputs by hand: {by_hand:?}");
            assert!(more <= A_CHUNK + AN_ITEM * count, "{set}: {more} allocations beside the outputs of {count} items");
            // An activation of this model takes hundreds of kilobytes, its smallest a kilobyte.
            assert!(whole.largest < 1024.max(by_hand.largest + 1), "{set}: {} bytes at once", whole.largest);
            let before = *counts.entry(count).or_insert(whole.count);
            assert_eq!(before, whole.count, "{set}: the same chunk again");
        }
    }
}
