//! tract, rten and candle behind one trait.

use std::{fs, path::Path, sync::Arc};

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device, Tensor as CandleTensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use rayon::ThreadPoolBuilder;
use rten::{ModelOptions, NodeId, RunOptions, ThreadPool};
use rten_tensor::{AsView, Tensor as RtenTensor};
use tract_onnx::prelude::*;

use crate::Batch;

/// The graph's output that is asked for.
const OUTPUT: &str = "sentence_embedding";

/// Computes the vectors `[rows, hidden]` of a batch.
pub type Worker<'a> = Box<dyn FnMut(&Batch) -> Result<Vec<f32>> + 'a>;

/// A loaded model, shared by all workers.
pub trait Engine: Sync {
    /// Called in the thread that will run it; a worker computes in that one thread only.
    fn worker(&self) -> Result<Worker<'_>>;
}

/// The engine of this name: tract and rten open `graph`, candle the weights of `folder`.
pub fn load(name: &str, folder: &Path, graph: &Path) -> Result<Box<dyn Engine>> {
    Ok(match name {
        "tract" => Box::new(Tract::load(graph)?),
        "rten" => Box::new(Rten::load(graph)?),
        "candle" => Box::new(Candle::load(folder)?),
        _ => bail!("the engine {name:?} is not known: tract, rten or candle"),
    })
}

/// What a graph's input of this name takes.
fn input(batch: &Batch, name: &str) -> Result<Vec<u32>> {
    Ok(match name {
        "input_ids" => batch.ids.clone(),
        "attention_mask" => batch.mask.clone(),
        "token_type_ids" => vec![0; batch.ids.len()],
        _ => bail!("the graph has an input {name:?}"),
    })
}

struct Tract {
    plan: Arc<TypedRunnableModel>,
    inputs: Vec<String>,
}

impl Tract {
    fn load(graph: &Path) -> Result<Self> {
        let model = tract_onnx::onnx().model_for_path(graph)?;
        let output = model.find_outlet_label(OUTPUT).with_context(|| format!("the graph has no output {OUTPUT}"))?;
        let model = model.with_output_outlets(&[output])?;
        let inputs = model.input_outlets()?.iter().map(|outlet| model.node(outlet.node).name.clone()).collect();
        Ok(Self { plan: model.into_optimized()?.into_runnable()?, inputs })
    }
}

impl Engine for Tract {
    fn worker(&self) -> Result<Worker<'_>> {
        let mut state = self.plan.spawn()?;
        Ok(Box::new(move |batch| {
            let mut inputs = tvec![];
            for name in &self.inputs {
                let values: Vec<i64> = input(batch, name)?.into_iter().map(i64::from).collect();
                inputs.push(Tensor::from_shape(&[batch.rows, batch.tokens], &values)?.into_tvalue());
            }
            let outputs = state.run(inputs)?;
            Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
        }))
    }
}

struct Rten {
    model: rten::Model,
    inputs: Vec<(NodeId, String)>,
    output: NodeId,
}

impl Rten {
    fn load(graph: &Path) -> Result<Self> {
        let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(graph)?;
        let name = |&id: &NodeId| {
            let name = model.node_info(id).and_then(|node| node.name().map(str::to_owned));
            name.map(|name| (id, name)).context("an input has no name")
        };
        let inputs = model.input_ids().iter().map(name).collect::<Result<_>>()?;
        let output = model.find_node(OUTPUT).with_context(|| format!("the graph has no output {OUTPUT}"))?;
        Ok(Self { model, inputs, output })
    }
}

impl Engine for Rten {
    fn worker(&self) -> Result<Worker<'_>> {
        // rten runs a graph in a pool; the worker waits meanwhile.
        let options = RunOptions::default().with_thread_pool(Some(Arc::new(ThreadPool::with_num_threads(1))));
        Ok(Box::new(move |batch| {
            let mut inputs = Vec::new();
            for (id, name) in &self.inputs {
                let values: Vec<i32> = input(batch, name)?.into_iter().map(|value| value as i32).collect();
                inputs.push((*id, RtenTensor::from_data(&[batch.rows, batch.tokens], values).into()));
            }
            let [output] = self.model.run_n(inputs, [self.output], Some(options.clone()))?;
            let vectors: RtenTensor<f32> = output.try_into()?;
            Ok(vectors.to_vec())
        }))
    }
}

struct Candle(BertModel);

impl Candle {
    fn load(folder: &Path) -> Result<Self> {
        let config: Config = serde_json::from_slice(&fs::read(folder.join("config.json"))?)?;
        let weights = candle_core::safetensors::load(folder.join("model.safetensors"), &Device::Cpu)?;
        Ok(Self(BertModel::load(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu), &config)?))
    }

    /// The encoder, the mean over the tokens that are not padding, length one.
    fn embed(&self, batch: &Batch) -> candle_core::Result<Vec<f32>> {
        let shape = (batch.rows, batch.tokens);
        let ids = CandleTensor::from_slice(&batch.ids, shape, &Device::Cpu)?;
        let mask = CandleTensor::from_slice(&batch.mask, shape, &Device::Cpu)?;
        let hidden = self.0.forward(&ids, &ids.zeros_like()?, Some(&mask))?;
        let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
        let mean = hidden.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&mask.sum(1)?)?;
        let length = mean.sqr()?.sum_keepdim(1)?.sqrt()?;
        mean.broadcast_div(&length)?.flatten_all()?.to_vec1()
    }
}

impl Engine for Candle {
    fn worker(&self) -> Result<Worker<'_>> {
        // Without a pool of its own a worker's operators would run in the one that all workers share.
        let pool = ThreadPoolBuilder::new().num_threads(1).use_current_thread().build()?;
        Ok(Box::new(move |batch| Ok(pool.install(|| self.embed(batch))?)))
    }
}
