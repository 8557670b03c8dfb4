//! Instruments, built from entries of the catalogue.

use opentelemetry::metrics::{
    AsyncInstrument, AsyncInstrumentBuilder, Counter, Histogram, InstrumentBuilder, Meter,
    UpDownCounter,
};
use opentelemetry_sdk::metrics::{Instrument, Stream};

use super::Metric;

/// The SDK's default for the maximum number of series of an instrument.
const DEFAULT_SERIES: usize = 2_000;

/// Raises the SDK's limit of series for metrics whose labels allow more.
pub(crate) fn series_limit(instrument: &Instrument) -> Option<Stream> {
    let metric = super::all().find(|metric| metric.name == instrument.name())?;
    let most = metric.max_series();
    let has_more = metric.buckets.is_empty() && most > DEFAULT_SERIES;
    has_more.then(|| Stream::builder().with_cardinality_limit(most).build().ok()).flatten()
}

impl Metric {
    fn describe<'a, T>(&self, builder: InstrumentBuilder<'a, T>) -> InstrumentBuilder<'a, T> {
        builder.with_unit(self.unit).with_description(self.description)
    }

    /// Builds a counter. Series of closed label lists exist as 0 from the start.
    pub(crate) fn counter(&self, meter: &Meter) -> Counter<u64> {
        let counter = self.describe(meter.u64_counter(self.name)).build();
        for labels in self.closed_series() {
            counter.add(0, &labels);
        }
        counter
    }

    pub(crate) fn float_counter(&self, meter: &Meter) -> Counter<f64> {
        self.describe(meter.f64_counter(self.name)).build()
    }

    pub(crate) fn up_down_counter(&self, meter: &Meter) -> UpDownCounter<i64> {
        let counter = self.describe(meter.i64_up_down_counter(self.name)).build();
        for labels in self.closed_series() {
            counter.add(0, &labels);
        }
        counter
    }

    pub(crate) fn histogram(&self, meter: &Meter) -> Histogram<f64> {
        meter
            .f64_histogram(self.name)
            .with_unit(self.unit)
            .with_description(self.description)
            .with_boundaries(self.buckets.to_vec())
            .build()
    }

    /// Describes an observable instrument that calls `observe` at each collection.
    pub(crate) fn observed<'a, I, M>(
        &self,
        builder: AsyncInstrumentBuilder<'a, I, M>,
        observe: impl Fn(&dyn AsyncInstrument<M>) + Send + Sync + 'static,
    ) -> AsyncInstrumentBuilder<'a, I, M> {
        builder.with_unit(self.unit).with_description(self.description).with_callback(observe)
    }

    /// Registers an observable gauge.
    pub(crate) fn gauge(
        &self,
        meter: &Meter,
        observe: impl Fn(&dyn AsyncInstrument<u64>) + Send + Sync + 'static,
    ) {
        self.observed(meter.u64_observable_gauge(self.name), observe).build();
    }

    /// Registers an observable gauge of fractions.
    pub(crate) fn float_gauge(
        &self,
        meter: &Meter,
        observe: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static,
    ) {
        self.observed(meter.f64_observable_gauge(self.name), observe).build();
    }
}
