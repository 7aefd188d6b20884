//! What the options of all models set in the same way.

/// The methods for device and weights, in an `impl` of options whose import settings lie at this field.
macro_rules! shared_options {
    ($($import:ident).+) => {
        /// The settings of the folder on `device`.
        pub fn on(device: $crate::Device) -> Self {
            Self { session: $crate::SessionOptions::on(device), ..Self::default() }
        }

        /// Sets device, precision and kernel set.
        #[must_use]
        pub fn session(mut self, session: $crate::SessionOptions) -> Self {
            self.session = session;
            self
        }

        /// Sets where the weights of the model stay; [`Weights::Mapped`](crate::Weights::Mapped) shares one copy between
        /// processes.
        #[must_use]
        pub fn weights(mut self, weights: $crate::Weights) -> Self {
            self.$($import).+.weights = weights;
            self
        }
    };
}
pub(crate) use shared_options;
