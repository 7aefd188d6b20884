//! Topological order of nodes.

use std::{cmp::Reverse, collections::BinaryHeap};

/// Sorts nodes topologically, where node `i` depends on the nodes `needs[i]`.
///
/// Nodes that are in order already keep it. `Err` is the index of a node on a cycle or behind one.
pub(super) fn sort(needs: &[Vec<u32>]) -> Result<Vec<u32>, usize> {
    let mut missing: Vec<u32> = needs.iter().map(|own| own.len() as u32).collect();
    let mut users: Vec<Vec<u32>> = vec![Vec::new(); needs.len()];
    for (node, own) in needs.iter().enumerate() {
        for &need in own {
            users[need as usize].push(node as u32);
        }
    }
    let mut ready: BinaryHeap<Reverse<u32>> =
        (0..needs.len() as u32).filter(|&node| missing[node as usize] == 0).map(Reverse).collect();
    let mut order = Vec::with_capacity(needs.len());
    while let Some(Reverse(node)) = ready.pop() {
        order.push(node);
        for &user in &users[node as usize] {
            missing[user as usize] -= 1;
            if missing[user as usize] == 0 {
                ready.push(Reverse(user));
            }
        }
    }
    match missing.iter().position(|&count| count > 0) {
        Some(node) => Err(node),
        None => Ok(order),
    }
}

#[cfg(test)]
mod tests {
    use super::sort;

    #[test]
    fn order_is_kept_where_it_is_one() {
        assert_eq!(sort(&[vec![], vec![], vec![0, 0], vec![1]]).unwrap(), [0, 1, 2, 3]);
    }

    #[test]
    fn needs_come_first() {
        assert_eq!(sort(&[vec![2], vec![0], vec![]]).unwrap(), [2, 0, 1]);
    }

    #[test]
    fn cycles_are_found() {
        assert_eq!(sort(&[vec![], vec![2], vec![1], vec![2]]), Err(1));
        assert_eq!(sort(&[vec![0]]), Err(0));
    }
}
