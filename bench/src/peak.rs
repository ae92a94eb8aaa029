//! What the machine can do at most, and the most memory that a process held.

use std::hint::black_box;
use std::time::Instant;
use thalweg_exec::kernel::{Isa, Pool};

/// Median and least seconds of a call, over samples of at least a millisecond.
pub fn seconds(mut call: impl FnMut()) -> [f64; 2] {
    call();
    let start = Instant::now();
    call();
    let once = start.elapsed().as_secs_f64();
    let repeat = (2e-3 / once.max(1e-9)).ceil() as usize;
    let mut samples: Vec<f64> = (0..11)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..repeat {
                call();
            }
            start.elapsed().as_secs_f64() / repeat as f64
        })
        .collect();
    samples.sort_by(f64::total_cmp);
    [samples[samples.len() / 2], samples[0]]
}

/// Independent chains of f32 multiply-adds; returns the operations done.
#[cfg(target_arch = "x86_64")]
mod loops {
    use std::arch::x86_64::*;

    const STEPS: usize = 200_000;

    #[target_feature(enable = "avx512f")]
    pub fn avx512() -> f64 {
        let mut sums = [_mm512_set1_ps(0.5); 16];
        let (x, y) = (_mm512_set1_ps(0.999), _mm512_set1_ps(0.001));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(*sum, x, y);
            }
        }
        std::hint::black_box(sums);
        (STEPS * 16 * 16 * 2) as f64
    }

    #[target_feature(enable = "avx2,fma")]
    pub fn avx2() -> f64 {
        let mut sums = [_mm256_set1_ps(0.5); 12];
        let (x, y) = (_mm256_set1_ps(0.999), _mm256_set1_ps(0.001));
        for _ in 0..STEPS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(*sum, x, y);
            }
        }
        std::hint::black_box(sums);
        (STEPS * 12 * 8 * 2) as f64
    }
}

/// Peak of the pool's threads together, in GFLOP/s; NaN where there is no loop for the machine.
pub fn measure_peak(pool: &Pool) -> f64 {
    #[cfg(target_arch = "x86_64")]
    {
        let run: fn() -> f64 = match pool.isa() {
            // SAFETY: the pool has the instruction set, hence the machine has.
            Isa::Avx512 => || unsafe { loops::avx512() },
            // SAFETY: as above.
            Isa::Avx2 => || unsafe { loops::avx2() },
            Isa::Portable => return f64::NAN,
        };
        let tasks = 4 * pool.threads();
        let [_, time] = seconds(|| {
            pool.for_each(tasks, |_| {
                black_box(run());
            })
        });
        tasks as f64 * run() / time / 1e9
    }
    #[cfg(not(target_arch = "x86_64"))]
    f64::NAN
}

/// Most memory that this process has held, MiB; 0 where the system does not say.
pub fn resident_peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok()).unwrap_or(0) / 1024
}
