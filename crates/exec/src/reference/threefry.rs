//! The counter-based generator Threefry-2x32 with 20 rounds.
//!
//! # Source
//! J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, *Parallel random numbers: as easy as 1, 2,
//! 3*, SC 2011, section 4.2; rotation constants from its table 2.

/// Left rotations of the eight rounds that repeat.
const ROTATIONS: [u32; 8] = [13, 15, 26, 6, 17, 29, 16, 24];

/// Both words of the generator.
pub(super) fn threefry_2x32(key: [u32; 2], counter: [u32; 2]) -> [u32; 2] {
    let keys = [key[0], key[1], 0x1BD1_1BDA ^ key[0] ^ key[1]];
    let [mut x, mut y] = counter;
    x = x.wrapping_add(keys[0]);
    y = y.wrapping_add(keys[1]);
    for round in 0..20u32 {
        x = x.wrapping_add(y);
        y = y.rotate_left(ROTATIONS[round as usize % 8]) ^ x;
        if round % 4 == 3 {
            let injection = round / 4 + 1;
            x = x.wrapping_add(keys[injection as usize % 3]);
            y = y.wrapping_add(keys[(injection as usize + 1) % 3]).wrapping_add(injection);
        }
    }
    [x, y]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The known answers that come with the authors' Random123 library.
    #[test]
    fn known_answers() {
        assert_eq!(threefry_2x32([0, 0], [0, 0]), [0x6b20_0159, 0x99ba_4efe]);
        let ones = [u32::MAX; 2];
        assert_eq!(threefry_2x32(ones, ones), [0x1cb9_96fc, 0xbb00_2be7]);
        let (key, counter) = ([0x1319_8a2e, 0x0370_7344], [0x243f_6a88, 0x85a3_08d3]);
        assert_eq!(threefry_2x32(key, counter), [0xc492_3a9c, 0x483d_f7a0]);
    }
}
