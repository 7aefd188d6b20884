//! Cases of ONNX's `Attention`.

use crate::{
    op::{Case, Fill},
    ops::product::attention::standard::{Scores, StandardAttention},
    tensor::Tensor,
};

pub(super) fn cases() -> Vec<Case> {
    let plain = StandardAttention {
        scale: None,
        causal: false,
        heads: None,
        softcap: 0.0,
        scores: Scores::Products,
        window: [None, None],
        results: 1,
    };
    let spread = Fill::Spread;
    let four = |name: &str, op: StandardAttention| {
        let case = Case::new(name, op).value(&[2, 4, 3, 8], spread);
        case.value(&[2, 2, 5, 8], spread).value(&[2, 2, 5, 6], spread)
    };
    let three = |name: &str, op: StandardAttention| {
        let case = Case::new(name, StandardAttention { heads: Some((4, 2)), ..op }).value(&[2, 3, 32], spread);
        case.value(&[2, 5, 16], spread).value(&[2, 5, 12], spread)
    };
    let keep: Vec<bool> = (0..2 * 3 * 4).map(|at| at % 5 != 1 && at >= 4).collect();
    let keep = Tensor::from_bools([2, 1, 3, 4], &keep).expect("as many booleans");
    let with_past = |case: Case| case.absent().value(&[2, 2, 3, 8], spread).value(&[2, 2, 3, 6], spread);
    let causal = StandardAttention { causal: true, ..plain };
    let mut cases = vec![
        four("plain", plain),
        three("three dimensions", StandardAttention { scale: Some(0.3), ..plain }),
        four("mask of numbers", plain).value(&[3, 5], spread),
        four("mask of booleans", plain).tensor(keep),
        with_past(four("earlier keys", StandardAttention { results: 3, ..causal })),
        with_past(three("earlier keys of three dimensions", StandardAttention { results: 4, ..causal })),
        four("lengths", causal).absent().absent().absent().integers(&[2], &[5, 2]),
        four("window", StandardAttention { window: [Some(1), Some(0)], ..plain }),
        four("no keys that count", StandardAttention { window: [Some(0), None], ..plain })
            .absent()
            .absent()
            .absent()
            .integers(&[2], &[0, 5]),
    ];
    for scores in [Scores::Products, Scores::Capped, Scores::Masked, Scores::Softmax] {
        let op = StandardAttention { scores, softcap: 0.7, results: 4, ..plain };
        cases.push(four(&format!("scores, {scores:?}"), op).value(&[4, 3, 5], spread));
    }
    cases
}
