//! Bulk inference: one model over many inputs, on all cores, with one copy of the weights.
//!
//! Results arrive in the order of the inputs. An input that fails yields an error that carries its index; the others
//! are not affected. Memory stays bounded for a source of any length, and chunk sizes are chosen at run time.
//!
//! # A text model
//!
//! A Hugging Face folder (`config.json`, `*.safetensors`, `tokenizer.json`) of a text encoder, from BERT to ModernBERT,
//! Qwen3 and T5 (docs/ENCODERS.md lists the families):
//!
//! ```no_run
//! # #[cfg(feature = "hugging-face")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use gristmill::{Device, text::Embedder};
//!
//! let embedder = Embedder::open("all-MiniLM-L6-v2", Device::Auto)?;
//! for vector in embedder.map(["a text", "another text"]) {
//!     let vector: Vec<f32> = vector?;
//!     println!("{} numbers, the first is {}", vector.len(), vector[0]);
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "hugging-face"))]
//! # fn main() {}
//! ```
//!
//! # An ONNX model
//!
//! An item holds the named inputs of one run. Here the third item has a wrong shape, and only that item fails:
//!
//! ```
//! # #[cfg(feature = "onnx")]
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use gristmill::{Model, SessionOptions, Tensor, Tensors, bulk::Bulk};
//!
//! let session = Model::open("examples/models/magika/model.onnx")?.session(&SessionOptions::default())?;
//! let rows = [vec![65_i32; 2048], vec![66; 2048], vec![67; 3]];
//! let items = rows.map(|row| Tensor::new([1, row.len()], &row).map(|bytes| Tensors::from([("bytes", bytes)])));
//! for result in Bulk::new(session).map_results(items) {
//!     match result {
//!         Ok(outputs) => println!("{:?}", outputs.get("target_label")), // a tensor f32[1, 214]
//!         Err(error) => eprintln!("item {}, stage {}: {}", error.index, error.stage, error.source),
//!     }
//! }
//! # Ok(())
//! # }
//! # #[cfg(not(feature = "onnx"))]
//! # fn main() {}
//! ```
//!
//! # A model of your own
//!
//! [`Inference`] has one required method. [`from_fn`] makes a model of a closure, [`PerWorker`] gives every worker an
//! instance of its own, and a [`Pipeline`] adds a step before the model and one behind it.
//!
//! ```
//! use gristmill::{Error, Inference, Result, Slots, bulk};
//!
//! struct SquareRoot;
//!
//! impl Inference for SquareRoot {
//!     type Input = f64;
//!     type Output = f64;
//!
//!     fn infer(&self, chunk: &[&f64], out: &mut Slots<'_, f64>) -> Result<()> {
//!         for (index, &&number) in chunk.iter().enumerate() {
//!             match number {
//!                 0.0.. => out.set(index, number.sqrt()),
//!                 _ => out.fail(index, Error::invalid_input(format!("no real square root of {number}"))),
//!             }
//!         }
//!         Ok(())
//!     }
//! }
//!
//! let roots: Vec<_> = bulk::map(SquareRoot, [4.0, -1.0, 9.0]).collect();
//! assert_eq!(roots[0].as_ref().unwrap(), &2.0);
//! assert_eq!(roots[1].as_ref().unwrap_err().index, 1);
//! assert_eq!(roots[2].as_ref().unwrap(), &3.0);
//! ```
//!
//! # The way of a job
//!
//! 1. `Model::open` reads a file; `Model::session` optimises its graph, packs the weights once for the device, and
//!    returns a [`Session`], which all workers share.
//! 2. A [`Bulk`](bulk::Bulk) pulls items from the source on the thread that consumes the results, as far ahead as keeps
//!    the workers busy. Workers prepare the items, for example tokenize a text.
//! 3. Prepared items are sorted by cost within a window and cut into chunks; the chunk size follows from the measured
//!    time of the first chunks. A worker runs a chunk in one call.
//! 4. Workers finish each output, and the consumer receives the results in the order of the source.
//! 5. [`Report`](bulk::Report) states what happened: device, precision, chunks, truncated inputs, memory, times.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `onnx` | yes | ONNX files |
//! | `hugging-face` | yes | Hugging Face folders of text encoders, and the module `text` |
//! | `vision` | no | Hugging Face folders of image encoders, and the module `vision` |
//! | `gpu` | no | the GPU backend over wgpu (Vulkan, Metal, Direct3D 12), and the module `gpu` |
//! | `cache` | no | `Bulk::cached`: results kept on disk between jobs |
//! | `files` | no | the module `files`: resumable jobs over lines, JSONL and CSV |
//! | `parquet` | no | the same over Parquet and Arrow's IPC format |
//! | `s3`, `gs`, `az`, `http` | no | their inputs and folders in S3, Google Cloud Storage and Azure Blob Storage, inputs from web servers |
//! | `stream` | no | `Bulk::stream`: a job as an asynchronous stream, for any runtime |
//! | `serde` | no | [`Report`](bulk::Report) and its parts as values of serde |
//! | `ndarray` | no | [`Tensor`] from arrays of `ndarray`, and back |
//! | `candle` | no | models written with candle, and the module `candle` |
//!
//! # Errors
//!
//! Every function that can fail returns [`Error`], which is opaque: branch on its [`ErrorKind`], print it, or get your
//! own error type back with [`Error::downcast_ref`]. A job returns an [`ItemError`] in place of a result, with the
//! item's index and the [`Stage`] that failed. Closures may fail with any error: `?` converts it, and an [`Error`] stays
//! as it is. A panic in a model is such an error too, and the workers survive it. By
//! default a job continues after errors; [`OnError`](bulk::OnError) changes that.
//!
//! # Threads
//!
//! All computing runs on one rayon pool per worker count (`mill-worker-0`, `mill-worker-1`, ...), shared by all jobs
//! of the process; its default width respects CPU quotas and affinity. A lone item is split over the pool's threads.
//! Jobs, queues and single runs take turns from chunk to chunk, by a share of the workers' time: 1 for a job, 8 for a
//! queue and for [`Session::run`], or what [`Bulk::share`](bulk::Bulk::share) sets. A share counts only while several of
//! them want the workers.
//! Further threads, which mostly wait, belong to a device that wants several chunks in flight (`mill-driver-0`, ...), to
//! a queue (`mill-queue`), to a cache that writes, to requests to object stores (`mill-stores`), and to a GPU's own driver.
//!
//! # Determinism
//!
//! Within one kernel set and one precision, the result of an item on the CPU is the same bits for any chunk size,
//! number of workers, order and neighbours. [`KernelSet`] lists the sets of this machine. Between kernel sets, devices
//! and precisions, results differ by rounding; [`verify`] measures by how much.
//!
//! # Memory
//!
//! Weights are resident once. A worker adds the scratch that the report states, and
//! [`Bulk::memory_limit`](bulk::Bulk::memory_limit) bounds items, results and scratch in flight, in bytes.
//! [`SessionOptions::max_run_bytes`] caps one run before anything is allocated.
//! `Weights::Mapped` uses the weights of a Hugging Face folder in their file, so that processes share one copy.
//!
//! # Security
//!
//! Model files need not be trusted: a file that is truncated, inconsistent or hostile is an error, never a panic, an
//! unbounded loop or an allocation of a size that the file chose. `ImportOptions` sets the limits. External data of an
//! ONNX file is read from the model's own folder only; `ImportOptions::trust_root` permits links. Two duties remain
//! yours: with `Weights::Mapped` nobody may write into the files while they are in use, and a model from a stranger may
//! still be slow or wrong.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![deny(unsafe_code)]
#![warn(missing_debug_implementations, unnameable_types, unreachable_pub)]

mod backend;
pub mod bulk;
#[cfg(feature = "candle")]
pub mod candle;
mod error;
#[cfg(feature = "files")]
pub mod files;
mod graph;
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
mod import;
mod inference;
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub mod inspect;
mod kernels;
mod op;
mod ops;
mod plan;
mod rewrite;
mod shape;
mod tensor;
#[cfg(feature = "cache")]
mod tensor_cache;
#[doc(hidden)]
pub mod testing;
#[cfg(feature = "hugging-face")]
pub mod text;
mod threads;
pub mod verify;
#[cfg(feature = "vision")]
pub mod vision;

/// Graphics adapters that the GPU backend can use.
#[cfg(feature = "gpu")]
pub mod gpu {
    pub use crate::backend::gpu::{Adapter, AdapterType, adapters};
}

pub use backend::{Device, GpuOptions, HostOperator, Precision, Session, SessionOptions};
pub use error::{Error, ErrorKind, ItemError, Result, Stage};
pub use graph::{Batching, Fact};
#[cfg(any(feature = "onnx", feature = "hugging-face"))]
pub use import::{ImportOptions, Model, Weights};
pub use inference::{
    Description, Fingerprint, FromFn, Hints, Inference, PerWorker, Pipeline, PipelineBuilder, Slots, from_fn,
};
pub use kernels::KernelSet;
pub use shape::{Dim, Shape};
pub use tensor::{DType, Element, SmallType, Tensor, Tensors, Value};
