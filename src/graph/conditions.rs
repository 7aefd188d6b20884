//! What the inferred shapes assume of the sizes of a run.

use std::collections::BTreeMap;

use crate::{
    error::{Context, Error, Result},
    graph::{Graph, Node},
    shape::{Bindings, Condition},
};

/// Conditions of a run, each with the node that needs it.
///
/// They outlive their nodes: a rewrite that removes one does not remove what it assumed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Conditions(BTreeMap<Condition, Origin>);

/// Where a condition comes from.
#[derive(Clone, Debug)]
struct Origin {
    node: String,
    /// Whether it was noted when the node was decoded, so that inference does not note it again.
    decoded: bool,
}

impl Conditions {
    /// Checks all in a run.
    ///
    /// # Errors
    /// For the first that does not hold, with its node.
    pub(crate) fn check(&self, bindings: &Bindings) -> Result<()> {
        self.0.iter().try_for_each(|(condition, origin)| condition.check(bindings).context(|| origin.node.clone()))
    }

    /// All, for a run that binds symbols as it goes.
    pub(crate) fn pending(&self) -> PendingConditions<'_> {
        PendingConditions(self.0.iter().collect())
    }

    /// The conditions, each with its node.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Condition, &str)> {
        self.0.iter().map(|(condition, origin)| (condition, origin.node.as_str()))
    }
}

/// The conditions whose sizes a run does not know yet.
///
/// Those that are left when it ends belong to nodes that were removed with what they measured.
pub(crate) struct PendingConditions<'a>(Vec<(&'a Condition, &'a Origin)>);

impl PendingConditions<'_> {
    /// Checks, once, those whose symbols are all bound.
    ///
    /// # Errors
    /// For one that does not hold, with its node.
    pub(crate) fn check(&mut self, bindings: &Bindings) -> Result<()> {
        let mut outcome = Ok(());
        self.0.retain(|(condition, origin)| {
            if !condition.is_bound(bindings) {
                return true;
            }
            if outcome.is_ok() {
                outcome = condition.check(bindings).context(|| origin.node.clone());
            }
            false
        });
        outcome
    }
}

impl Graph {
    /// What must hold of the sizes of a run.
    pub(crate) fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// Notes what decoding `node` assumed.
    ///
    /// # Errors
    /// When no run can fulfil it.
    #[cfg(feature = "onnx")]
    pub(crate) fn assume(&mut self, node: String, conditions: Vec<Condition>) -> Result<()> {
        let origin = Origin { node, decoded: true };
        conditions.into_iter().try_for_each(|condition| self.add_condition(condition, &origin))
    }

    /// Notes what inference assumed of a node.
    ///
    /// # Errors
    /// When no run can fulfil it.
    pub(super) fn add_inferred_conditions(&mut self, node: &Node, conditions: Vec<Condition>) -> Result<()> {
        if conditions.is_empty() {
            return Ok(());
        }
        let origin = Origin { node: node.describe(), decoded: false };
        conditions.into_iter().try_for_each(|condition| self.add_condition(condition, &origin))
    }

    fn add_condition(&mut self, condition: Condition, origin: &Origin) -> Result<()> {
        let condition = condition.substitute(&self.fixed);
        match condition.decide() {
            Some(true) => {}
            Some(false) => return Err(Error::invalid_model(condition.violation()).context(&origin.node)),
            None => {
                self.dimensions += condition.weight();
                self.conditions.0.entry(condition).or_insert_with(|| origin.clone());
            }
        }
        Ok(())
    }

    /// Drops what inference assumed, before it runs again on other shapes.
    pub(super) fn forget_inferred_conditions(&mut self) {
        self.conditions.0.retain(|_, origin| origin.decoded);
    }

    /// Puts the numbers of fixed symbols into all conditions.
    ///
    /// # Errors
    /// When no run can fulfil one any more.
    pub(super) fn fix_conditions(&mut self) -> Result<()> {
        for (condition, origin) in std::mem::take(&mut self.conditions.0) {
            self.add_condition(condition, &origin)?;
        }
        Ok(())
    }
}
