//! Nearest neighbours among embeddings, by exhaustive search.

use rayon::prelude::*;

/// Queries that one task works on.
const QUERY_BLOCK: usize = 64;
/// Index rows that a task holds in cache while its queries go by.
const INDEX_BLOCK: usize = 64;
/// Partial sums of a dot product, for the compiler to put into vector registers.
const LANES: usize = 16;

/// For each query the index row of highest cosine, and that cosine (-1 to 1); among equals the lowest row.
///
/// `queries` and `index` are row-major matrices of `dim` columns. Both are scaled to length one (a zero row stays zero);
/// the search is exact, and a pair's cosine does not depend on where the rows stand. No matrix of similarities is kept:
/// beside its input the search needs one number a row. With an empty index there is no neighbour and the result is
/// empty.
///
/// # Panics
///
/// If a matrix doesn't consist of whole rows, or has more than `u32::MAX` of them.
pub fn nearest(queries: &[f32], index: &[f32], dim: usize) -> Vec<(u32, f32)> {
    assert!(dim > 0 && queries.len().is_multiple_of(dim) && index.len().is_multiple_of(dim), "rows are whole");
    assert!(index.len() / dim <= u32::MAX as usize, "index rows are numbered in 32 bits");
    if index.is_empty() {
        return Vec::new();
    }
    let scales = inverse_lengths(index, dim);
    queries.par_chunks(QUERY_BLOCK * dim).flat_map_iter(|block| search(block, index, &scales, dim)).collect()
}

fn search(queries: &[f32], index: &[f32], scales: &[f32], dim: usize) -> Vec<(u32, f32)> {
    let query_scales = inverse_lengths(queries, dim);
    let mut best = vec![(0, f32::NEG_INFINITY); query_scales.len()];
    for (block, rows) in index.chunks(INDEX_BLOCK * dim).enumerate() {
        for ((query, scale), best) in queries.chunks_exact(dim).zip(&query_scales).zip(&mut best) {
            for (row, vector) in rows.chunks_exact(dim).enumerate() {
                let row = block * INDEX_BLOCK + row;
                let cosine = dot(query, vector) * (scale * scales[row]);
                if cosine > best.1 {
                    *best = (row as u32, cosine);
                }
            }
        }
    }
    best
}

/// One over the length of each row; zero for a row of zeros.
fn inverse_lengths(matrix: &[f32], dim: usize) -> Vec<f32> {
    let inverse = |row: &[f32]| {
        let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        if square > 0.0 { square.sqrt().recip() as f32 } else { 0.0 }
    };
    matrix.par_chunks_exact(dim).map(inverse).collect()
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(x, y)| x * y).sum();
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::super::random::generator;
    use super::*;
    use rand::RngExt;

    fn random(rows: usize, dim: usize, purpose: &str) -> Vec<f32> {
        let mut random = generator(1, &[purpose]);
        (0..rows * dim).map(|_| random.random_range(-1.0..1.0)).collect()
    }

    #[test]
    fn agrees_with_the_definition() {
        for (queries, rows, dim) in [(1, 1, 1), (130, 201, 37), (65, 64, 16)] {
            let (q, i) = (random(queries, dim, "queries"), random(rows, dim, "index"));
            let length = |v: &[f32]| v.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            let found = nearest(&q, &i, dim);
            assert_eq!(found.len(), queries);
            for (query, (row, cosine)) in q.chunks(dim).zip(found) {
                let cosines: Vec<f64> = i
                    .chunks(dim)
                    .map(|v| {
                        let dot: f64 = v.iter().zip(query).map(|(&x, &y)| f64::from(x) * f64::from(y)).sum();
                        dot / length(v) / length(query)
                    })
                    .collect();
                let best = cosines.iter().copied().fold(f64::NEG_INFINITY, f64::max);
                assert!((f64::from(cosine) - best).abs() < 1e-5);
                assert!((cosines[row as usize] - best).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn equals_go_to_the_lowest_row_and_length_does_not_count() {
        let mut index = random(200, 24, "index");
        let copy = index[150 * 24..151 * 24].to_vec();
        index[70 * 24..71 * 24].copy_from_slice(&copy);
        index[20 * 24..21 * 24].iter_mut().for_each(|x| *x *= 1e6);
        let query: Vec<f32> = copy.iter().map(|x| x * 3.0).collect();
        let (row, cosine) = nearest(&query, &index, 24)[0];
        assert_eq!(row, 70);
        assert!((cosine - 1.0).abs() < 1e-6, "{cosine}");
    }

    #[test]
    fn zero_rows_and_empty_sides_are_harmless() {
        assert_eq!(nearest(&[0.0, 0.0], &[1.0, 0.0, 0.0, 1.0], 2), [(0, 0.0)]);
        assert_eq!(nearest(&[1.0, 0.0], &[0.0, 0.0, 0.5, 0.0], 2), [(1, 1.0)]);
        assert!(nearest(&[1.0], &[], 1).is_empty());
        assert!(nearest(&[], &[1.0], 1).is_empty());
    }
}
