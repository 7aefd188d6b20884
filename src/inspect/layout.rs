//! Places boxes in rows, each below all that it takes from.

use crate::inspect::chains::Chains;

/// Rounds of moving boxes towards their neighbours.
const ROUNDS: usize = 8;

/// The row of each box, and the boxes of each row from left to right.
pub(super) struct Layout {
    pub rows: Vec<Vec<usize>>,
}

impl Layout {
    pub(super) fn of(chains: &Chains) -> Self {
        let count = chains.boxes.len();
        let mut row_of = vec![0; count];
        // Flows run from earlier boxes to later ones and stand in the order of these, since nodes are in execution order.
        for flow in &chains.flows {
            row_of[flow.to] = row_of[flow.to].max(row_of[flow.from] + 1);
        }
        let mut rows = vec![Vec::new(); row_of.iter().max().map_or(0, |last| last + 1)];
        for (own, &row) in row_of.iter().enumerate() {
            rows[row].push(own);
        }
        let mut layout = Self { rows };
        for round in 0..ROUNDS {
            layout.sweep(chains, count, round % 2 == 0);
        }
        layout
    }

    /// Orders each row by the mean place of the boxes above (or below) that its boxes are joined to.
    fn sweep(&mut self, chains: &Chains, count: usize, downward: bool) {
        let mut place = vec![0.0; count];
        for row in &self.rows {
            for (position, &own) in row.iter().enumerate() {
                place[own] = position as f64 - row.len() as f64 / 2.0;
            }
        }
        let mut sum = vec![(0.0, 0usize); count];
        for flow in &chains.flows {
            let (own, other) = if downward { (flow.to, flow.from) } else { (flow.from, flow.to) };
            sum[own].0 += place[other];
            sum[own].1 += 1;
        }
        let wanted = |own: usize| if sum[own].1 == 0 { place[own] } else { sum[own].0 / sum[own].1 as f64 };
        for row in &mut self.rows {
            row.sort_by(|&a, &b| wanted(a).total_cmp(&wanted(b)));
        }
    }
}
