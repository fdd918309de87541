//! The zeros of dropout at one place of the model.

use super::elementary::vectorised;

/// Draws that are made together.
const GROUP: usize = 16;

/// The zeros of one place: a function of the element's index. The probability is rounded to a multiple of 1/65,536.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Zeros {
    low: u32,
    high: u32,
    threshold: u32,
    keep: f32,
}

impl Zeros {
    /// Zeros with probability `rate`, above 0 and below 1.
    pub(super) fn new(seed: u64, rate: f64) -> Self {
        Self {
            low: seed as u32,
            high: (seed >> 32) as u32,
            threshold: (rate * 65_536.0).round() as u32,
            keep: (1.0 / (1.0 - rate)) as f32,
        }
    }

    /// What elements `start..start + factors.len()` are multiplied by: 0 or `1 / (1 - rate)`.
    pub fn factors(&self, start: usize, factors: &mut [f32]) {
        fill(self, start, factors);
    }

    /// [`Zeros::factors`] for loops that are vectorised themselves.
    #[inline(always)]
    pub(super) fn fill(&self, start: usize, factors: &mut [f32]) {
        let pick = |drawn: u32| if drawn < self.threshold { 0.0 } else { self.keep };
        let odd = !start.is_multiple_of(2) && !factors.is_empty();
        let (first, factors) = factors.split_at_mut(usize::from(odd));
        if let [first] = first {
            *first = pick(self.draw((start / 2) as u32) >> 16);
        }
        let mut pair = start.div_ceil(2) as u32;
        let mut groups = factors.chunks_exact_mut(2 * GROUP);
        for group in &mut groups {
            let mut drawn = [0u32; GROUP];
            for (index, drawn) in drawn.iter_mut().enumerate() {
                *drawn = self.draw(pair.wrapping_add(index as u32)).to_le();
            }
            pair = pair.wrapping_add(GROUP as u32);
            // SAFETY: both are 64 bytes in which every pattern is a number.
            let halves: [u16; 2 * GROUP] = unsafe { std::mem::transmute(drawn) };
            for (factor, half) in group.iter_mut().zip(halves) {
                *factor = pick(u32::from(u16::from_le(half)));
            }
        }
        for factors in groups.into_remainder().chunks_mut(2) {
            let drawn = self.draw(pair);
            pair = pair.wrapping_add(1);
            factors[0] = pick(drawn & 0xffff);
            if let Some(second) = factors.get_mut(1) {
                *second = pick(drawn >> 16);
            }
        }
    }

    /// 32 bits for two neighbouring elements: a counter through two rounds of MurmurHash3's finaliser, keyed before each.
    #[inline(always)]
    fn draw(&self, pair: u32) -> u32 {
        mix(mix(pair ^ self.low).wrapping_add(self.high))
    }
}

vectorised! {
    fn fill(zeros: &Zeros, start: usize, factors: &mut [f32]) {
        zeros.fill(start, factors);
    }
}

#[inline(always)]
fn mix(mut bits: u32) -> u32 {
    bits ^= bits >> 16;
    bits = bits.wrapping_mul(0x85eb_ca6b);
    bits ^= bits >> 13;
    bits = bits.wrapping_mul(0xc2b2_ae35);
    bits ^ (bits >> 16)
}
