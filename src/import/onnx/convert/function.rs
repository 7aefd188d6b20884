//! Functions of the file, inlined where nodes call them.

use std::collections::HashMap;

use crate::{
    error::{Context, Error, Result},
    graph::ValueId,
    import::onnx::{
        attribute,
        convert::{
            Converter,
            scope::{Scope, used},
        },
        opsets,
        proto::{FunctionProto, NodeProto},
        scan::{makers, shown},
    },
    op::Attribute,
};

/// The most functions that call each other.
const MAX_DEPTH: usize = 64;

impl<'a> Converter<'a, '_, '_> {
    /// Converts the nodes of the function that a node calls.
    ///
    /// Each inlined node is charged to the budget again, so that few functions that call each other
    /// cannot become a large graph.
    pub(super) fn inline(
        &mut self,
        node: &NodeProto<'a>,
        attributes: Vec<(String, Attribute)>,
        inputs: &[Option<ValueId>],
    ) -> Result<()> {
        let (functions, key) = (self.file.functions, node.function());
        let function = functions.get(&key).ok_or_else(|| Error::internal("the function was found before"))?;
        if self.calls.contains(&key) {
            return Err(Error::invalid_model(format!("the function {} calls itself", shown(key.0, key.1))));
        }
        if self.calls.len() >= MAX_DEPTH {
            return Err(Error::limit(format!("more than {MAX_DEPTH} functions call each other")));
        }
        let inner = self.scope_of(function, attributes, inputs)?;
        let before = self.graph.value_count();
        let caller = std::mem::replace(&mut self.scope, inner);
        // A function does not see the names around its call.
        let outer = self.outer.take();
        self.calls.push(key);
        let converted = self.function_body(function);
        self.calls.pop();
        self.outer = outer;
        let inner = std::mem::replace(&mut self.scope, caller);
        converted.context(|| format!("the function {}", shown(key.0, key.1)))?;
        if node.outputs.len() > function.outputs.len() {
            let (asked, made) = (node.outputs.len(), function.outputs.len());
            return Err(Error::invalid_model(format!("{asked} outputs are asked for, the function makes {made}")));
        }
        for (&name, own) in node.outputs.iter().zip(&function.outputs) {
            if name.is_empty() {
                continue;
            }
            let id = inner.values.get(own).copied();
            let id = id.ok_or_else(|| Error::invalid_model(format!("nothing makes the function's output `{own}`")))?;
            // An operand that is passed through keeps its name.
            if id.index() >= before {
                name.clone_into(&mut self.graph.values[id.index()].name);
            }
            self.scope.define(name, id);
        }
        Ok(())
    }

    /// The meaning of a function's names in a call.
    fn scope_of(
        &mut self,
        function: &FunctionProto<'a>,
        mut attributes: Vec<(String, Attribute)>,
        inputs: &[Option<ValueId>],
    ) -> Result<Scope<'a>> {
        if inputs.len() > function.inputs.len() {
            let (given, taken) = (inputs.len(), function.inputs.len());
            return Err(Error::invalid_model(format!("{given} operands are given, the function takes {taken}")));
        }
        let defaults = function.defaults.iter().map(|bytes| {
            attribute::read_default(bytes, self.file.budget, self.external)
                .context(|| "a default of the function".to_owned())
        });
        let defaults = defaults.collect::<Result<Vec<_>>>()?;
        let known =
            |name: &String| function.attributes.contains(&name.as_str()) || defaults.iter().any(|(own, _)| own == name);
        if let Some((name, _)) = attributes.iter().find(|(name, _)| !known(name)) {
            return Err(Error::invalid_model(format!("the function has no attribute `{name}`")));
        }
        for (name, value) in defaults {
            if attributes.iter().all(|(own, _)| *own != name) {
                attributes.push((name, value));
            }
        }
        let opsets = opsets(&self.scope.opsets, &function.opsets).context(|| "the function".to_owned())?;
        let used = used(&function.body, self.depth)?;
        let mut scope = Scope { opsets, attributes: Some(attributes), used, ..Scope::default() };
        scope.used.extend(&function.outputs);
        let given = inputs.iter().copied().chain(std::iter::repeat(None));
        for (&name, id) in function.inputs.iter().zip(given) {
            let twice = match id {
                Some(id) => scope.values.insert(name, id).is_some(),
                None => !scope.absent.insert(name),
            };
            if twice {
                return Err(Error::invalid_model(format!("the function declares the input `{name}` twice")));
            }
        }
        Ok(scope)
    }

    /// Converts the nodes in the scope of the call.
    fn function_body(&mut self, function: &FunctionProto<'a>) -> Result<()> {
        let makers: HashMap<&str, u32> = makers(&function.body, self.file.budget)?;
        if let Some(name) = function.inputs.iter().find(|name| makers.contains_key(**name)) {
            return Err(Error::invalid_model(format!("value `{name}` is made twice: by the call and by a node")));
        }
        self.nodes(&function.body, &makers)
    }
}
