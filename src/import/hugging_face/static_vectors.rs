//! Folders of word vectors without an encoder: model2vec, and sentence-transformers' StaticEmbedding.

use std::path::Path;

use crate::{
    error::{Error, Result},
    graph::{Batching, Graph, ValueId},
    import::hugging_face::{
        Folder, FolderOptions, Positions,
        behind::{self, Behind},
        encoder,
        problems::Problems,
        sentence::Sentence,
        static_rules::MAX_TOKENS,
        weights::{Found, Weights},
    },
    ops::{
        index::gather::{Gather, OutOfRange},
        pointwise::{Binary, BinaryFunction},
    },
    shape::{Dim, Shape},
    tensor::{DType, Tensor},
};

/// Reads a folder of word vectors; the graph's result is `output`.
pub(super) fn read(folder: &Path, sentence: Sentence, options: &FolderOptions, output: &str) -> Result<Folder> {
    let weights = Weights::open(&sentence.transformer, &options.import)?;
    let mut problems = Problems::default();
    let tensors = Tensors::find(&weights, &mut problems)?;
    problems.finish("the files do not fit together")?;
    let mut sources = vec![weights];
    let width = tensors.table.shape()[1];
    let behind = behind::embedding(&sentence, width, None, options, &mut sources)?;
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let graph = build(&name, &tensors, &sources, &behind, output)?;
    let most = sentence.max_tokens.unwrap_or(MAX_TOKENS);
    let mut notes = sentence.notes;
    notes.extend(sources.iter().find_map(Weights::notes));
    Ok(Folder {
        graph,
        max_tokens: most,
        positions: Positions { first: 0, count: MAX_TOKENS, skipped: None },
        position_ids: false,
        dimension: behind.width,
        vocabulary: tensors.vocabulary,
        token_types: None,
        one_token_type: false,
        pad: None,
        text_end: None,
        decoder: None,
        end: None,
        scaled_by_mask: None,
        lowercase: false,
        prompts: sentence.prompts,
        markers: Vec::new(),
        pooling: (behind.pooling.clone(), behind.is_normalized()),
        steps: behind.steps,
        adapters: None,
        tokenizer_folder: sentence.transformer,
        static_rules: sentence.static_rules,
        notes,
        files: sources.into_iter().flat_map(Weights::into_files).collect(),
    })
}

/// The tensors of a folder of word vectors.
struct Tensors {
    /// `[rows, width]`
    table: Found,
    /// The row of each token, if it is not the token's number.
    mapping: Option<Vec<i32>>,
    /// A factor for each token.
    factors: Option<Found>,
    /// The number of tokens.
    vocabulary: usize,
}

impl Tensors {
    fn find(weights: &Weights, problems: &mut Problems) -> Result<Self> {
        const NAMES: [&str; 4] = ["embedding.weight", "embeddings", "mapping", "weights"];
        for name in weights.names().filter(|name| !NAMES.contains(name)) {
            problems.add(|| format!("the tensor `{name}` has no place among word vectors"));
        }
        let Some((name, shape)) = NAMES[..2].iter().find_map(|name| Some((*name, weights.shape(name)?))) else {
            return Err(Error::invalid_model("there is neither a tensor `embeddings` nor `embedding.weight`"));
        };
        let &[rows, width] = shape else {
            return Err(Error::invalid_model(format!("the tensor `{name}` is no matrix but {shape:?}")));
        };
        // model2vec stores small tables as signed bytes.
        let table = weights.find_bytes(&[name.to_owned()], &[rows, width], problems);
        let mapping = weights.shape("mapping").is_some().then(|| weights.integers("mapping")).transpose()?;
        let vocabulary = mapping.as_ref().map_or(rows, Vec::len);
        let mapping = mapping.map(|mapping| rows_of(&mapping, rows)).transpose()?;
        let factors = weights.shape("weights").is_some();
        let factors = factors.then(|| weights.find(&["weights".to_owned()], &[vocabulary], problems));
        Ok(Self { table, mapping, factors, vocabulary })
    }
}

fn rows_of(mapping: &[i64], rows: usize) -> Result<Vec<i32>> {
    let row = |&row: &i64| {
        let outside = || Error::invalid_model(format!("`mapping` names the row {row} of {rows}"));
        let row = i32::try_from(row).ok().filter(|&row| usize::try_from(row).is_ok_and(|row| row < rows));
        row.ok_or_else(outside)
    };
    mapping.iter().map(row).collect()
}

/// The graph: rows of the table for all tokens, times their factors, and what stands behind them.
fn build(name: &str, tensors: &Tensors, sources: &[Weights], behind: &Behind, output: &str) -> Result<Graph> {
    let [weights, ..] = sources else { return Err(Error::internal("word vectors without weights")) };
    let mut graph = Graph::new(name);
    let (tokens, sequences) = (graph.symbol("tokens"), graph.symbol("sequences"));
    let ids = graph.input("input_ids", DType::I32, Shape::new(vec![Dim::symbol(tokens)]));
    let offsets = Shape::new(vec![&Dim::symbol(sequences) + &Dim::from(1)]);
    let offsets = graph.input("offsets", DType::I32, offsets);
    let look_up = |graph: &mut Graph, name: &str, table: Tensor, ids: ValueId| {
        let table = graph.constant(format!("{name}.table"), table);
        graph.apply(name, Gather { axis: 0, outside: OutOfRange::Error }, &[table, ids])
    };
    let rows = match &tensors.mapping {
        Some(mapping) => look_up(&mut graph, "mapping", Tensor::new([mapping.len()], mapping)?, ids)?,
        None => ids,
    };
    let mut x = look_up(&mut graph, "embeddings", weights.plain(&tensors.table)?, rows)?;
    if let Some(factors) = &tensors.factors {
        let column = weights.plain(factors)?.reshape([tensors.vocabulary, 1])?;
        let factors = look_up(&mut graph, "weights", column, ids)?;
        x = graph.apply("weighted", Binary { function: BinaryFunction::Mul }, &[x, factors])?;
    }
    let result = encoder::build_stages(&mut graph, sources, "", &behind.stages, [x, offsets])?;
    graph.output(output, result);
    graph.set_batching(Batching::Packed { tokens, sequences, offsets });
    Ok(graph)
}
