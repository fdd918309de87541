//! Dropout whose zeros are a function of a seed, the place in the model and the element: nothing is carried from step to step,
//! nothing is shared between trainings, and a forward pass that is repeated (to save memory) draws the same zeros again.

use burn::tensor::{DType, Tensor, TensorData};

pub use super::zeros::Zeros;

/// Where the zeros of dropout come from. A clone draws what the original would have drawn.
#[derive(Clone, Debug)]
pub struct Dropout {
    source: Source,
    seed: u64,
    /// Places passed so far.
    place: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Off,
    Host,
    Device,
}

impl Dropout {
    /// No dropout: evaluation.
    pub fn off() -> Self {
        Self { source: Source::Off, seed: 0, place: 0 }
    }

    /// Zeros computed on the host: the same on every machine.
    pub fn host(seed: u64) -> Self {
        Self { source: Source::Host, seed, place: 0 }
    }

    /// The same zeros, computed by the device that they are for, to which uploading them would cost more than the computation.
    ///
    /// A device's own generator would not do: it is one for all that the device computes, and computes when the device gets to
    /// it, so that neither a layer that is computed again nor a training that goes on would draw the same.
    pub fn device(seed: u64) -> Self {
        Self { source: Source::Device, seed, place: 0 }
    }

    /// Zeroes each element of `input` with probability `rate` and scales the others by `1 / (1 - rate)`.
    pub fn apply<const D: usize>(&mut self, input: Tensor<D>, rate: f64) -> Tensor<D> {
        let Some(zeros) = self.zeros(rate) else { return input };
        let (dims, device) = (input.dims(), input.device().without_autodiff());
        let count = dims.iter().product();
        let factors: Tensor<D> = if self.source == Source::Device {
            zeros.factors_on(&device, count).reshape(dims)
        } else {
            let mut factors = vec![0.0; count];
            zeros.factors(0, &mut factors);
            Tensor::from_data(TensorData::new(factors, dims), (&device, DType::F32))
        };
        let kind = input.dtype();
        input * factors.cast(kind)
    }

    /// The zeros of the next place, for kernels that apply them themselves; none where nothing is dropped.
    pub fn zeros(&mut self, rate: f64) -> Option<Zeros> {
        if self.source == Source::Off || rate <= 0.0 {
            return None;
        }
        Some(Zeros::new(self.next_place(), rate))
    }

    /// A seed for the next place (splitmix64).
    fn next_place(&mut self) -> u64 {
        self.place += 1;
        let mut mixed = self.seed.wrapping_add(self.place.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn draw(dropout: &mut Dropout, count: usize) -> Vec<f32> {
        dropout.apply(Tensor::<1>::ones([count], &Device::flex()), 0.1).into_data().try_into_vec().unwrap()
    }

    #[test]
    fn dropout_zeroes_the_rate_and_keeps_the_mean() {
        for seed in 0..4 {
            let values = draw(&mut Dropout::host(seed), 100_000);
            let zeros = values.iter().filter(|v| **v == 0.0).count() as f64 / 1e5;
            let mean = values.iter().map(|v| f64::from(*v)).sum::<f64>() / 1e5;
            assert!((zeros - 0.1).abs() < 0.004 && (mean - 1.0).abs() < 0.004, "{zeros} {mean}");
            // Neighbours, rows of a power of two and halves of a draw are independent.
            for distance in [1, 2, 64, 128, 1024] {
                let both = values.iter().zip(&values[distance..]).filter(|(a, b)| **a == 0.0 && **b == 0.0).count();
                assert!((both as f64 / 1e5 - 0.01).abs() < 0.0015, "{distance} {both}");
            }
        }
    }

    #[test]
    fn a_device_draws_the_zeros_of_the_host() {
        for (seed, count, rate) in [(0, 100_000, 0.1), (u64::MAX, 4_097, 0.5), (0x8000_0000_8000_0000, 1, 0.3)] {
            let values = |mut dropout: Dropout| -> Vec<f32> {
                let ones = Tensor::<2>::ones([1, count], &Device::flex());
                dropout.apply(ones, rate).into_data().try_into_vec().unwrap()
            };
            assert!(values(Dropout::host(seed)) == values(Dropout::device(seed)), "{seed} {count} {rate}");
        }
    }

    #[test]
    fn places_and_seeds_differ_and_a_clone_repeats() {
        let mut dropout = Dropout::host(1);
        let mut again = dropout.clone();
        let (first, second) = (draw(&mut dropout, 1000), draw(&mut dropout, 1000));
        assert!(first != second && first == draw(&mut again, 1000) && second == draw(&mut again, 1000));
        assert!(first != draw(&mut Dropout::host(2), 1000));
        assert_eq!(draw(&mut Dropout::off(), 10), [1.0; 10]);
    }

    #[test]
    fn any_stretch_has_the_factors_of_the_whole() {
        let zeros = Dropout::host(3).zeros(0.4).unwrap();
        let mut whole = vec![0.0; 101];
        zeros.factors(0, &mut whole);
        for start in 0..100 {
            let mut part = vec![0.0; 101 - start];
            zeros.factors(start, &mut part);
            assert_eq!(part, whole[start..]);
        }
    }
}
