//! The report of a job.

use std::time::Duration;

use crate::{
    bulk::{
        job::{Job, tally::Tally},
        report::{
            Details, Report,
            notes::{self, Facts},
        },
        stages::Stages,
        sync::atomic::Ordering::Relaxed,
    },
    inference::Inference,
    threads::platform,
};

/// The report of a job whose consumer took `items` results.
pub(in crate::bulk) fn report<S: Stages<I>, I>(job: &Job<S, I>, tally: &Tally, items: usize) -> Report {
    let model = job.stages.model().describe();
    let seconds = tally.elapsed().as_secs_f64();
    let share = |part: f64| if seconds > 0.0 { part / seconds } else { 0.0 };
    let busy: Vec<Duration> = job.busy.iter().map(|ns| Duration::from_nanos(ns.load(Relaxed))).collect();
    let first = tally.started.zip(tally.first).map_or(0.0, |(start, first)| (first - start).as_secs_f64());
    let (cache_hits, cache_notes) = job.stages.cached();
    let state = job.lock();
    let measures = &state.measures;
    let (chunks, run_items, running) = (measures.chunks.count, measures.chunks.items, measures.chunks.running);
    let (chunk_items, slowest) = (measures.chunks.spread(), measures.slowest.get());
    let (chunk_seconds, queue_wait_seconds) = (measures.chunk_times.spread(), measures.queue_waits.spread());
    let devices = measures.devices.listed(&model.device);
    let details = Details {
        periods: measures.history.periods(seconds),
        chunk_sizes: measures.chunks.sizes(),
        failures: tally.failures.clone(),
        ..Details::default()
    };
    let driver_trouble = state.drivers.trouble.clone();
    drop(state);
    let mut notes = model.notes;
    notes.extend(cache_notes);
    notes.extend(driver_trouble);
    notes.extend(notes::notes(&Facts {
        elapsed: tally.elapsed(),
        workers: busy.len(),
        parallelism: platform::parallelism(),
        pulling: tally.pulling,
        busy: busy.iter().sum(),
        running,
        items: run_items,
        chunks,
        largest: chunk_items.max,
        chunk_size: job.settings.chunk_size,
        max_chunk_cost: job.settings.max_chunk_cost,
        processor_time: tally.processor_time(),
    }));
    notes.extend(tally.first_error.as_ref().map(|first| notes::failures(tally.errors, first)));
    notes.extend(tally.cut_off.as_ref().map(|why| format!("the job ended early: {why}")));
    Report {
        items,
        errors: tally.errors,
        // The model counts over its whole life. The difference is this job's part, together with
        // that of other jobs that run the same model at the same time.
        truncated: model.truncated.saturating_sub(job.before.truncated),
        seconds,
        items_per_second: share(items as f64),
        load_seconds: model.load_seconds,
        device: model.device,
        kernel_set: model.kernel_set,
        precision: model.precision,
        workers: busy.len(),
        chunks,
        chunk_items,
        padding: model.padding.saturating_sub(job.before.padding),
        worker_busy: busy.iter().map(|busy| share(busy.as_secs_f64()).min(1.0)).collect(),
        scratch_bytes_per_worker: model.scratch_bytes_per_worker,
        peak_rss_bytes: platform::peak_rss_bytes(),
        model_fingerprint: model.model_fingerprint,
        notes,
        first_result_seconds: first,
        cache_hits,
        duplicates: 0,
        chunk_seconds,
        queue_wait_seconds,
        slowest,
        driver_busy: job.driving.iter().map(|ns| share(ns.load(Relaxed) as f64 * 1e-9).min(1.0)).collect(),
        devices,
        details,
    }
}
