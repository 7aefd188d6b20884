//! Equations of `Einsum`.

use crate::{
    error::{Error, Result},
    ops::product::einsum::Einsum,
};

/// The most operands, and the most axes of one, so that a file cannot make the loops deep.
const MOST: usize = 64;

impl Einsum {
    /// The sums that an equation names, of operands of these ranks.
    ///
    /// # Errors
    /// When the equation is malformed, or does not fit the operands.
    pub fn parse(equation: &str, ranks: &[usize]) -> Result<Self> {
        let wrong = |what: &str| Error::invalid_model(format!("the equation `{equation}`: {what}"));
        let plain: String = equation.chars().filter(|letter| !letter.is_whitespace()).collect();
        let (left, right) = match plain.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (plain.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != ranks.len() {
            return Err(wrong(&format!("{} terms for {} operands", terms.len(), ranks.len())));
        }
        if ranks.len() > MOST || ranks.iter().any(|&rank| rank > MOST) {
            return Err(wrong(&format!("more than {MOST} operands or axes")));
        }
        let letters = |term: &str| term.replacen("...", "", 1);
        let malformed = |term: &str| !letters(term).chars().all(|letter| letter.is_ascii_alphabetic());
        if terms.iter().copied().chain(right).any(malformed) {
            return Err(wrong("a term is made of letters and at most one `...`"));
        }
        // The axes that `...` stands for; those of several operands are aligned at the last.
        let hidden = |(term, &rank): (&&str, &usize)| {
            let hidden = rank.checked_sub(letters(term).len());
            hidden
                .filter(|&hidden| hidden == 0 || term.contains("..."))
                .ok_or_else(|| wrong(&format!("the term `{term}` for an operand of {rank} axes")))
        };
        let hidden = terms.iter().zip(ranks).map(hidden).collect::<Result<Vec<usize>>>()?;
        let most = hidden.iter().copied().max().unwrap_or(0);
        let mut names: Vec<char> = left.chars().filter(char::is_ascii_alphabetic).collect();
        names.sort_unstable();
        names.dedup();
        let label = |letter: char| {
            let own = names.iter().position(|&own| own == letter).map(|at| at + most);
            own.ok_or_else(|| wrong(&format!("the result names `{letter}`, which no operand has")))
        };
        let axes = |term: &str, hidden: usize| -> Result<Vec<usize>> {
            let (before, after) = term.split_once("...").unwrap_or((term, ""));
            let hidden = if term.contains("...") { most - hidden..most } else { 0..0 };
            let hidden = hidden.map(Ok);
            before.chars().map(label).chain(hidden).chain(after.chars().map(label)).collect()
        };
        let operands = terms.iter().zip(&hidden).map(|(term, &hidden)| axes(term, hidden)).collect::<Result<_>>()?;
        let result = match right {
            Some(term) if most > 0 && !term.contains("...") => {
                return Err(wrong("the operands have axes under `...`, the result has not"));
            }
            Some(term) => axes(term, most)?,
            // Labels that occur once, in alphabetical order.
            None => {
                let once = |name: &&char| left.matches(**name).count() == 1;
                let named = names.iter().filter(once).map(|&name| label(name));
                (0..most).map(Ok).chain(named).collect::<Result<_>>()?
            }
        };
        let mut each = result.clone();
        each.sort_unstable();
        each.dedup();
        if each.len() != result.len() {
            return Err(wrong("the result names a letter twice"));
        }
        Ok(Self { operands, result })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_name_axes() {
        let of = |equation: &str, ranks: &[usize]| {
            let op = Einsum::parse(equation, ranks).unwrap();
            (op.operands, op.result)
        };
        assert_eq!(of("ij,jk->ik", &[2, 2]), (vec![vec![0, 1], vec![1, 2]], vec![0, 2]));
        assert_eq!(of("b a", &[2]), (vec![vec![1, 0]], vec![0, 1]));
        assert_eq!(of("...ij, ...jk", &[3, 4]), (vec![vec![1, 2, 3], vec![0, 1, 3, 4]], vec![0, 1, 2, 4]));
        assert_eq!(of("...ii->...i", &[3]), (vec![vec![0, 1, 1]], vec![0, 1]));
        assert_eq!(of(",ij->ji", &[0, 2]), (vec![vec![], vec![0, 1]], vec![1, 0]));
        assert_eq!(of("...", &[1]), (vec![vec![0]], vec![0]));
    }

    #[test]
    fn malformed_equations_are_refused() {
        let refused: &[(&str, &[usize])] = &[
            ("ij,jk->ik", &[2]),
            ("ij->i", &[3]),
            ("ijk->i", &[2]),
            ("...ij->ij", &[3]),
            ("...i...->i", &[3]),
            ("i1->i", &[2]),
            ("i.j->i", &[2]),
            ("ij->ijk", &[2]),
            ("ij->ii", &[2]),
            ("ij->i->j", &[2]),
            ("i", &[100]),
        ];
        for (equation, ranks) in refused {
            let error = Einsum::parse(equation, ranks).unwrap_err().to_string();
            assert!(error.contains(equation), "{equation}: {error}");
        }
    }
}
