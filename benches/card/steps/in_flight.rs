//! Two chunks in flight against one: what transfers beside the computing are worth.

use gristmill::{
    Description, Hints, Inference, Result, Session, Slots, Tensors,
    bulk::Bulk,
    testing::import::hugging_face::{FolderOptions, open},
};

use crate::{
    Kit, Outcome, figure,
    steps::{counts::items, encoders, texts::job, ways},
};

/// A session that wishes for another number of chunks in flight.
struct InFlight {
    session: Session,
    chunks: usize,
}

impl Inference for InFlight {
    type Input = Tensors;
    type Output = Tensors;
    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Tensors>) -> Result<()> {
        self.session.infer(chunk, out)
    }
    fn cost(&self, input: &Tensors) -> u64 {
        self.session.cost(input)
    }
    fn hints(&self) -> Hints {
        self.session.hints().in_flight(self.chunks)
    }
    fn describe(&self) -> Description {
        self.session.describe()
    }
}

pub fn run(kit: &Kit) -> Outcome {
    let [minilm, _] = encoders(kit);
    let items = items(kit.pick(20_000, 24), kit.pick(20, 8))?;
    let [f32, f16, _] = ways();
    for (way, options) in [f32, f16] {
        // In turns, so that a busy machine is as bad for each.
        for turn in ["first turn", "second turn"] {
            for chunks in [2, 3] {
                let folder = open(kit.folder.join("data").join(minilm.name), &FolderOptions::default())?;
                let session = Session::load(folder.graph, &options.clone().outputs(["sentence_embedding"]))?;
                let bulk = Bulk::new(InFlight { session, chunks });
                bulk.run(&items[..items.len().min(64)]);
                let report = job(&bulk.run(&items).1, way)?;
                let row = format!("{way}, {chunks} in flight");
                figure::cell("texts/s of ids alone", &row, turn, report.items_per_second);
            }
            // One chunk at a time, by a single worker: what is in flight then is nothing else.
            let folder = open(kit.folder.join("data").join(minilm.name), &FolderOptions::default())?;
            let session = Session::load(folder.graph, &options.clone().outputs(["sentence_embedding"]))?;
            let bulk = Bulk::new(InFlight { session, chunks: 1 }).workers(1);
            bulk.run(&items[..items.len().min(64)]);
            let report = job(&bulk.run(&items).1, way)?;
            figure::cell("texts/s of ids alone", &format!("{way}, 1 in flight"), turn, report.items_per_second);
        }
    }
    Ok(())
}
