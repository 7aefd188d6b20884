//! An image encoder with what stands behind it as a model.

use std::{path::Path, sync::Arc, time::Instant};

use crate::{
    backend::{Session, options::SessionOptions},
    error::{Context, Error, Result},
    graph::Graph,
    import::{hugging_face::ImageFolder, origin::fingerprint_of},
    inference::{Description, Hints, Inference, Slots},
    tensor::Tensors,
    threads::pool::load_pool,
    vision::prepare::Prepare,
};

/// An encoder with pooling or a head, which turns the patches of an image into its vector, or into the numbers of its
/// classes.
#[derive(Clone, Debug)]
pub struct ImageModel {
    session: Arc<Session>,
    output: &'static str,
    /// The options on which results depend, besides those of the session.
    options: String,
}

impl ImageModel {
    /// The session that runs the encoder.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Opens the folder that `read` reads, and prepares for its images; also returns the length of a result.
    pub(super) fn open<H: Send>(
        path: &Path,
        output: &'static str,
        session: &SessionOptions,
        max_pixels: u64,
        read: impl FnOnce() -> Result<(ImageFolder, H)> + Send,
    ) -> Result<(Self, Prepare, usize, H)> {
        let started = Instant::now();
        let load = || {
            let (mut images, head) = read()?;
            let graph = std::mem::replace(&mut images.folder.graph, Graph::new(""));
            let session = Session::load(graph, &session.clone().outputs([output]))
                .context(|| format!("model folder `{}`", path.display()))?;
            Ok((images, head, session))
        };
        let (images, head, session) = load_pool(session.workers)?.run_once(load)?;
        let prepare = Prepare::new(&images, max_pixels);
        let ImageFolder { folder, settings, .. } = images;
        let files = folder.files;
        let session = session.with_origin(started, folder.notes, move || fingerprint_of(&files));
        let options = format!("{}, {:?}", folder.steps, settings);
        Ok((Self { session: Arc::new(session), output, options }, prepare, folder.dimension, head))
    }
}

impl Inference for ImageModel {
    type Input = Tensors;
    type Output = Vec<f32>;

    fn infer(&self, chunk: &[&Tensors], out: &mut Slots<'_, Vec<f32>>) -> Result<()> {
        let mut outputs = Vec::new();
        outputs.resize_with(chunk.len(), || None);
        self.session.infer(chunk, &mut Slots::new(&mut outputs))?;
        for (index, output) in outputs.into_iter().enumerate() {
            let missing = || Error::internal("the session gave an image no result");
            let output = output.unwrap_or_else(|| Err(missing()));
            let numbers = output
                .and_then(|tensors| Ok(tensors.get(self.output).ok_or_else(missing)?.as_slice::<f32>()?.to_vec()));
            match numbers {
                Ok(numbers) => out.set(index, numbers),
                Err(error) => out.fail(index, error),
            }
        }
        Ok(())
    }

    fn cost(&self, input: &Tensors) -> u64 {
        self.session.cost(input)
    }

    fn input_bytes(&self, input: &Tensors) -> usize {
        self.session.input_bytes(input)
    }

    fn output_bytes(&self, output: &Vec<f32>) -> usize {
        size_of_val(output.as_slice()) + size_of::<Vec<f32>>()
    }

    fn hints(&self) -> Hints {
        self.session.hints()
    }

    fn ready_here(&self) -> bool {
        self.session.ready_here()
    }

    fn describe(&self) -> Description {
        let session = self.session.describe();
        let options = format!("{}, {}", session.options, self.options);
        Description { options, ..session }
    }
}
