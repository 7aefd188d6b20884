//! The unit of work that prepares items.

use std::{collections::VecDeque, time::Instant};

use crate::{
    bulk::{
        job::{
            Job,
            chunk::prepare_item,
            window::{Block, Entry},
        },
        stages::{Ready, Stages},
        sync,
    },
    error::{Error, ItemError, Stage},
    threads::panics,
};

/// The outcome of preparing a block.
struct Prepared<I, E, O> {
    entries: VecDeque<Entry<E>>,
    cost: u64,
    sorted: bool,
    /// Results that were known without running.
    done: Vec<(usize, O)>,
    /// The bytes of `done`.
    done_bytes: usize,
    failed: Vec<(usize, Stage, Error)>,
    /// Items that were not begun, because memory is short.
    rest: Option<Block<I>>,
    /// The bytes of `entries`.
    bytes: usize,
}

impl<S: Stages<I>, I> Job<S, I> {
    /// Prepares a block of window number `window`, and adds what came of it to the window.
    pub(in crate::bulk) fn prepare(&self, window: usize, block: Block<I>, started: Instant) {
        let count = block.items.len();
        let prepared = self.prepare_block(block);
        let took = sync::now().duration_since(started).as_nanos() as f64;
        let resolved = prepared.done.len() + prepared.failed.len();
        let mut state = self.lock();
        let late = if let Some((window, done)) = state.window(window) {
            window.preparing -= count;
            let known = prepared.done.len();
            for (place, output) in prepared.done {
                window.write(place, Ok(output), done);
            }
            for (place, stage, source) in prepared.failed {
                window.write(place, Err(ItemError { index: window.first + place, stage, source }), done);
            }
            if let Some(rest) = prepared.rest {
                window.put_back(rest);
            }
            let (entries, bytes) = (prepared.entries.len(), prepared.bytes);
            window.enqueue(prepared.entries, prepared.cost, prepared.sorted);
            state.entry_bytes.add(bytes as f64, entries as f64);
            if known > 0 {
                state.output_bytes.add(prepared.done_bytes as f64, known as f64);
            }
            state.prepare_ns.add(took, count as f64);
            state.prepare_most = state.prepare_most.max(count.saturating_mul(4));
            None
        } else {
            Some(prepared)
        };
        state.units -= 1;
        self.settle(state, started, resolved);
        if let Some(late) = late {
            panics::drop_each(late.entries);
            panics::drop_each(late.done);
            panics::drop_each(late.rest.into_iter().flat_map(|block| block.items));
        }
    }

    fn prepare_block(&self, block: Block<I>) -> Prepared<I, S::Entry, S::Output> {
        let mut prepared = Prepared {
            entries: VecDeque::with_capacity(block.items.len()),
            cost: 0,
            sorted: true,
            done: Vec::new(),
            done_bytes: 0,
            failed: Vec::new(),
            rest: None,
            bytes: 0,
        };
        let (mut items, mut place, mut last_cost) = (block.items.into_iter(), block.start, u64::MAX);
        let ticks = self.ticks(sync::now());
        // Bytes of the item at hand, until its entry or result is counted instead.
        let mut at_hand = 0;
        loop {
            let outcome = panics::catch(|| {
                for item in items.by_ref() {
                    place += 1;
                    let item = match item {
                        Ok(item) => item,
                        Err(error) => {
                            prepared.failed.push((place - 1, Stage::Read, error));
                            continue;
                        }
                    };
                    if S::PREPARES {
                        at_hand = self.stages.item_bytes(self.stages.item(&item));
                    }
                    let entry = match prepare_item(&*self.stages, item, place - 1, ticks, &mut at_hand)? {
                        Ready::Run(entry) => entry,
                        Ready::Done(output) => {
                            let bytes = self.stages.output_bytes(&output);
                            prepared.done_bytes += bytes;
                            prepared.done.push((place - 1, output));
                            if self.ledger.replace(std::mem::take(&mut at_hand), bytes) {
                                break;
                            }
                            continue;
                        }
                    };
                    prepared.sorted &= entry.cost <= last_cost;
                    last_cost = entry.cost;
                    prepared.cost = prepared.cost.saturating_add(entry.cost);
                    prepared.bytes += entry.bytes;
                    let bytes = entry.bytes;
                    prepared.entries.push_back(entry);
                    if S::PREPARES {
                        if self.ledger.replace(std::mem::take(&mut at_hand), bytes) {
                            break;
                        }
                    } else {
                        // The entry is the item, whose bytes are counted already.
                        at_hand = 0;
                    }
                }
                Ok(())
            });
            let Err(error) = outcome else { break };
            self.ledger.remove(std::mem::take(&mut at_hand));
            prepared.failed.push((place - 1, Stage::Prepare, error));
        }
        if items.len() > 0 {
            prepared.rest = Some(Block { start: place, items: items.collect() });
        }
        prepared
    }
}
