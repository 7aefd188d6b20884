//! What names mean: in a graph, in a graph within a node, in a call of a function.

use std::collections::{HashMap, HashSet};

use crate::{
    error::Result,
    graph::{Graph, ValueId},
    import::onnx::{
        budget::Budget,
        convert::{Converter, free::free_names},
        proto::{FunctionKey, GraphProto, ValueInfoProto},
        scan::parse,
    },
    op::Attribute,
};

/// What names mean in the graph, or in a call of a function.
#[derive(Default)]
pub(super) struct Scope<'a> {
    pub(super) values: HashMap<&'a str, ValueId>,
    /// The keys and the values of inputs that are maps, which have no value of their own.
    pub(super) maps: HashMap<&'a str, [ValueId; 2]>,
    /// The inputs of the function that the call leaves out.
    pub(super) absent: HashSet<&'a str>,
    /// The names that nodes or outputs use.
    pub(super) used: HashSet<&'a str>,
    /// The version of each domain that is named; the default one has no name.
    pub(super) opsets: Vec<(&'a str, i64)>,
    /// The attributes of the call; `None` outside functions.
    pub(super) attributes: Option<Vec<(String, Attribute)>>,
    /// The names defined since an inlined graph began, with the values they had before.
    pub(super) shadowed: Option<Vec<(&'a str, Option<ValueId>)>>,
}

impl<'a> Scope<'a> {
    /// Gives a value a name; returns the one that had it.
    pub(super) fn define(&mut self, name: &'a str, id: ValueId) -> Option<ValueId> {
        let before = self.values.insert(name, id);
        if let Some(shadowed) = &mut self.shadowed {
            shadowed.push((name, before));
        }
        before
    }

    /// Whether a value has that name, and an inlined graph may not give it to another.
    pub(super) fn has_own(&self, name: &str) -> bool {
        self.shadowed.is_none() && self.values.contains_key(name)
    }

    /// Gives the names that an inlined graph defined back to the values that had them.
    pub(super) fn unshadow(&mut self, before: Option<Vec<(&'a str, Option<ValueId>)>>) {
        let names = std::mem::replace(&mut self.shadowed, before).unwrap_or_default();
        for (name, before) in names.into_iter().rev() {
            match before {
                Some(id) => self.values.insert(name, id),
                None => self.values.remove(name),
            };
        }
    }
}

/// The graph around the one that is converted, and what names mean there.
#[derive(Clone, Copy)]
pub(super) struct Outer<'a, 'b> {
    pub(super) graph: &'b Graph,
    pub(super) values: &'b HashMap<&'a str, ValueId>,
    pub(super) calls: &'b [FunctionKey<'a>],
    pub(super) depth: usize,
}

/// The names that the nodes and outputs of a graph at this depth use; the messages are charged elsewhere.
pub(super) fn used<'a>(proto: &GraphProto<'a>, depth: usize) -> Result<HashSet<&'a str>> {
    let budget = Budget::unlimited();
    let mut used = HashSet::new();
    for index in 0..proto.nodes.len() as u32 {
        let node = parse(proto, index)?;
        used.extend(free_names(&node, &budget, depth + 1)?);
        used.extend(node.inputs);
    }
    for bytes in &proto.outputs {
        used.insert(ValueInfoProto::parse(bytes, &budget)?.name());
    }
    Ok(used)
}

impl<'a> Converter<'a, '_, '_> {
    /// The value of that name, captured from the outer graph if only that has it.
    pub(super) fn resolve(&mut self, name: &'a str) -> Option<ValueId> {
        if let Some(&id) = self.scope.values.get(name) {
            return Some(id);
        }
        let outer = self.outer?;
        let &id = outer.values.get(name)?;
        let own = match outer.graph.constant_of(id) {
            Some(tensor) => self.graph.constant(name, tensor.clone()),
            None => {
                self.captured.push(id);
                self.graph.input_of(name, outer.graph.fact(id).clone())
            }
        };
        self.scope.define(name, own);
        Some(own)
    }
}
