//! Matrix products over slices, one thread each: the callers divide the work.

/// A matrix in a slice: element (row, column) is at `row · down + column · across`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    down: usize,
    across: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers, one row after another.
    pub fn new(values: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(values, rows, columns, columns)
    }

    /// `rows` rows of `columns` numbers that start `down` numbers apart.
    pub fn strided(values: &'a [f32], rows: usize, columns: usize, down: usize) -> Self {
        debug_assert!(rows * columns == 0 || (rows - 1) * down + columns <= values.len());
        Self { values, rows, columns, down, across: 1 }
    }

    /// Rows become columns; nothing moves.
    pub fn transposed(self) -> Self {
        Self { rows: self.columns, columns: self.rows, down: self.across, across: self.down, ..self }
    }

    /// How many columns there are.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// The columns from `start` on, `count` at most.
    pub fn panel(self, start: usize, count: usize) -> Self {
        Self { values: &self.values[start * self.across..], columns: count.min(self.columns - start), ..self }
    }

    /// The last element's place, plus one.
    fn end(&self) -> usize {
        (self.rows - 1) * self.down + (self.columns - 1) * self.across + 1
    }
}

/// A matrix to be written, in memory that other threads write other places of. Rows start `down` numbers apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target {
    first: *mut f32,
    length: usize,
    down: usize,
}

// SAFETY: the pointer is only written through by the unsafe functions below, whose callers answer for the places.
unsafe impl Send for Target {}
// SAFETY: as above.
unsafe impl Sync for Target {}

impl Target {
    /// All of `values`.
    pub fn new(values: &mut [f32], down: usize) -> Self {
        Self { first: values.as_mut_ptr(), length: values.len(), down }
    }

    /// Writes `left · right · scale` from element `start` on; adds it to what is there where `add`.
    ///
    /// # Safety
    /// The values outlive the call, and no other thread reads or writes the block that is written meanwhile.
    pub unsafe fn product(&self, start: usize, add: bool, left: Matrix<'_>, right: Matrix<'_>, scale: f32) {
        assert_eq!(left.columns, right.rows);
        let (rows, columns, inner) = (left.rows, right.columns, left.columns);
        if rows == 0 || columns == 0 {
            return;
        }
        assert!(start + (rows - 1) * self.down + columns <= self.length && columns <= self.down);
        assert!(inner > 0 && left.end() <= left.values.len() && right.end() <= right.values.len());
        // SAFETY: all three matrices have just been found to be within their memory; nobody else uses the block written.
        unsafe {
            gemm::gemm(
                rows,
                columns,
                inner,
                self.first.add(start),
                1,
                self.down as isize,
                add,
                left.values.as_ptr(),
                left.across as isize,
                left.down as isize,
                right.values.as_ptr(),
                right.across as isize,
                right.down as isize,
                1.0,
                scale,
                false,
                false,
                false,
                gemm::Parallelism::None,
            );
        }
    }

    /// Writes `values` into `count` rows from element `start` on.
    ///
    /// # Safety
    /// As for [`Target::product`].
    pub unsafe fn repeat(&self, start: usize, count: usize, values: &[f32]) {
        if count == 0 {
            return;
        }
        assert!(start + (count - 1) * self.down + values.len() <= self.length);
        for row in 0..count {
            // SAFETY: within the memory, as just checked; nobody else uses it.
            unsafe { std::slice::from_raw_parts_mut(self.first.add(start + row * self.down), values.len()) }
                .copy_from_slice(values);
        }
    }
}

/// `out = left · right`; rows of `out` are as wide as those of `right`.
pub(crate) fn multiply(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    product(out, right.columns, 0, false, left, right);
}

/// `out += left · right`.
pub(super) fn multiply_add(out: &mut [f32], left: Matrix<'_>, right: Matrix<'_>) {
    product(out, right.columns, 0, true, left, right);
}

/// `left · right` into, or added to, the block of `out` that begins at `start` and whose rows are `down` apart.
pub(super) fn product(out: &mut [f32], down: usize, start: usize, add: bool, left: Matrix<'_>, right: Matrix<'_>) {
    // SAFETY: `out` is borrowed for writing by this call alone.
    unsafe { Target::new(out, down).product(start, add, left, right, 1.0) }
}

/// The transpose of `values [rows, columns]`.
pub(super) fn transpose(values: &[f32], rows: usize, columns: usize, out: &mut [f32]) {
    const BLOCK: usize = 16;
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for column in left..(left + BLOCK).min(columns) {
                for row in top..(top + BLOCK).min(rows) {
                    out[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
}
