//! What `Device::Auto` chooses, how long that takes, and the chunks that are chosen against fixed ones.

use std::time::Instant;

use gristmill::{Device, SessionOptions};

use crate::{
    Kit, Outcome, figure,
    steps::{embedder, encoders, glosses, gpu, texts::job, ways},
};

pub fn run(kit: &Kit) -> Outcome {
    let [minilm, _] = encoders(kit);
    let texts = glosses(kit, kit.pick(20_000, 24))?;
    for count in [1, texts.len()] {
        for (name, device) in [("auto", Device::Auto), ("cpu", Device::Cpu)] {
            let started = Instant::now();
            let embedder = embedder(kit, &minilm, SessionOptions::on(device).gpu(gpu()), 256)?;
            let loaded = started.elapsed().as_secs_f64();
            let report = job(&embedder.bulk().run(&texts[..count]).1, name)?;
            let row = format!("{count} texts, {name}");
            figure::cell("choice", &row, "device", report.device.clone());
            figure::cell("choice", &row, "load ms", loaded * 1e3);
            figure::cell("choice", &row, "first result ms", report.first_result_seconds * 1e3);
            figure::cell("choice", &row, "texts/s", report.items_per_second);
            report
                .notes
                .iter()
                .filter(|note| note.starts_with("device auto"))
                .for_each(|note| figure::note(note.clone()));
        }
    }
    let [(_, options), ..] = ways();
    let embedder = embedder(kit, &minilm, options, 256)?;
    embedder.bulk().run(&texts[..texts.len().min(64)]);
    let sizes = kit.pick(&[256, 1024, 4096][..], &[8][..]);
    for size in [None].into_iter().chain(sizes.iter().map(|&size| Some(size))) {
        let bulk = match size {
            Some(size) => embedder.bulk().chunk_size(size),
            None => embedder.bulk(),
        };
        let row = size.map_or("chosen".to_owned(), |size| size.to_string());
        let report = job(&bulk.run(&texts).1, &row)?;
        figure::cell("chunk size", &row, "texts/s", report.items_per_second);
        figure::cell("chunk size", &row, "chunks", report.chunks);
        figure::cell("chunk size", &row, "median chunk", report.chunk_items.median);
        figure::cell("chunk size", &row, "largest chunk", report.chunk_items.max);
    }
    Ok(())
}
