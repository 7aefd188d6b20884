//! Writes small ONNX files, sound and unsound, field by field.

/// A protocol buffer message under construction.
#[derive(Clone, Debug, Default)]
pub struct Message(pub Vec<u8>);

impl Message {
    pub fn new() -> Self {
        Self::default()
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    pub fn int(mut self, field: u64, value: i64) -> Self {
        self.varint(field << 3);
        self.varint(value as u64);
        self
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        self.varint(field << 3 | 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn bytes(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        self.varint(field << 3 | 2);
        self.varint(bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    pub fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text)
    }

    pub fn message(self, field: u64, message: &Message) -> Self {
        self.bytes(field, &message.0)
    }

    pub fn messages(self, field: u64, messages: &[Message]) -> Self {
        messages.iter().fold(self, |own, message| own.message(field, message))
    }

    /// Numbers one behind another in one block.
    pub fn packed(self, field: u64, values: &[i64]) -> Self {
        let mut block = Message::new();
        values.iter().for_each(|&value| block.varint(value as u64));
        self.message(field, &block)
    }
}

pub const FLOAT: i64 = 1;
pub const INT32: i64 = 6;
pub const INT64: i64 = 7;
pub const BOOL: i64 = 9;

/// A `TensorProto` with its type and dimensions, but no data.
pub fn tensor(name: &str, dtype: i64, dims: &[i64]) -> Message {
    dims.iter().fold(Message::new().text(8, name).int(2, dtype), |own, &dim| own.int(1, dim))
}

/// A tensor of raw 32-bit numbers.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, FLOAT, dims).bytes(9, raw)
}

/// A tensor of raw 64-bit integers.
pub fn integers(name: &str, dims: &[i64], values: &[i64]) -> Message {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor(name, INT64, dims).bytes(9, raw)
}

/// A tensor whose data are in another file.
pub fn external(name: &str, dtype: i64, dims: &[i64], entries: &[(&str, &str)]) -> Message {
    let entry = |key: &str, value: &str| Message::new().text(1, key).text(2, value);
    entries.iter().fold(tensor(name, dtype, dims).int(14, 1), |own, (key, value)| own.message(13, &entry(key, value)))
}

/// A `ValueInfoProto`; a dimension that is no number is a name, an empty one is unknown.
pub fn value(name: &str, dtype: i64, dims: &[&str]) -> Message {
    let dims: Vec<Message> = dims
        .iter()
        .map(|dim| match dim.parse() {
            Ok(number) => Message::new().int(1, number),
            Err(_) if dim.is_empty() => Message::new(),
            Err(_) => Message::new().text(2, dim),
        })
        .collect();
    let shape = Message::new().messages(1, &dims);
    let kind = Message::new().message(1, &Message::new().int(1, dtype).message(2, &shape));
    Message::new().text(1, name).message(2, &kind)
}

/// A `NodeProto` without attributes.
pub fn node(op: &str, name: &str, inputs: &[&str], outputs: &[&str]) -> Message {
    let own = inputs.iter().fold(Message::new().text(4, op).text(3, name), |own, input| own.text(1, input));
    outputs.iter().fold(own, |own, output| own.text(2, output))
}

/// An `AttributeProto` that holds integers.
pub fn ints(name: &str, values: &[i64]) -> Message {
    values.iter().fold(Message::new().text(1, name).int(20, 7), |own, &value| own.int(8, value))
}

/// An `AttributeProto` that holds an integer.
pub fn int(name: &str, value: i64) -> Message {
    Message::new().text(1, name).int(20, 2).int(3, value)
}

/// An `AttributeProto` that holds a graph.
pub fn graph_attribute(name: &str, graph: &Message) -> Message {
    Message::new().text(1, name).int(20, 5).message(6, graph)
}

/// An `AttributeProto` that holds a tensor.
pub fn tensor_attribute(name: &str, tensor: &Message) -> Message {
    Message::new().text(1, name).int(20, 4).message(5, tensor)
}

/// The parts of a model file.
#[derive(Clone, Debug)]
pub struct Draft {
    pub opset: i64,
    pub nodes: Vec<Message>,
    pub initializers: Vec<Message>,
    pub inputs: Vec<Message>,
    pub outputs: Vec<Message>,
}

impl Draft {
    pub fn new() -> Self {
        Self { opset: 17, nodes: Vec::new(), initializers: Vec::new(), inputs: Vec::new(), outputs: Vec::new() }
    }

    pub fn opset(mut self, opset: i64) -> Self {
        self.opset = opset;
        self
    }

    pub fn node(mut self, node: Message) -> Self {
        self.nodes.push(node);
        self
    }

    pub fn initializer(mut self, tensor: Message) -> Self {
        self.initializers.push(tensor);
        self
    }

    pub fn input(mut self, value: Message) -> Self {
        self.inputs.push(value);
        self
    }

    pub fn output(mut self, value: Message) -> Self {
        self.outputs.push(value);
        self
    }

    pub fn graph(&self) -> Message {
        Message::new()
            .messages(1, &self.nodes)
            .text(2, "small")
            .messages(5, &self.initializers)
            .messages(11, &self.inputs)
            .messages(12, &self.outputs)
    }

    pub fn bytes(&self) -> Vec<u8> {
        let opset = Message::new().text(1, "").int(2, self.opset);
        Message::new().int(1, 8).message(7, &self.graph()).message(8, &opset).0
    }
}

/// `y = Transpose(x)` alone.
pub fn transposing() -> Draft {
    let turn = node("Transpose", "turn", &["x"], &["y"]);
    Draft::new().input(value("x", FLOAT, &["n", "3"])).node(turn).output(value("y", FLOAT, &["3", "n"]))
}

/// `y = Transpose(x)`, plus a constant that `z = Reshape(w)` shows.
pub fn small() -> Draft {
    Draft::new()
        .input(value("x", FLOAT, &["n", "3"]))
        .initializer(floats("w", &[2, 2], &[1.0, 2.0, 3.0, 4.0]))
        .initializer(integers("shape", &[1], &[4]))
        .node(node("Transpose", "turn", &["x"], &["y"]).message(5, &ints("perm", &[1, 0])))
        .node(node("Reshape", "flat", &["w", "shape"], &["z"]))
        .output(value("y", FLOAT, &["3", "n"]))
        .output(value("z", FLOAT, &["4"]))
}
