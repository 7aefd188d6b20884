//! Generated parts of the attention shaders, for heads of a fixed size.

/// Bytes of keys and values in workgroup memory, which every device has.
const TILE_BYTES: usize = 16 << 10;

/// Keys of a tile, for keys of `d` columns and values of `e`; `None` if they would be too few.
fn tile_keys(d: usize, e: usize) -> Option<usize> {
    let keys = (TILE_BYTES / 16 / (d.div_ceil(4).max(1) + e.div_ceil(4).max(1))).min(32);
    (keys >= 8).then_some(keys)
}

/// Rounds of the loops of an invocation over so many keys.
pub(super) fn rounds(d: usize, e: usize, keys: usize) -> usize {
    let tile = tile_keys(d, e).unwrap_or(8);
    let loads = [d, e].map(|columns| (tile * columns.div_ceil(4).max(1)).div_ceil(64));
    keys.saturating_add(keys.div_ceil(tile).saturating_mul(loads[0] + loads[1] + 1))
}

/// Generates the parts for keys of `d` columns and values of `e`, `None` if a tile would be too small.
pub(super) fn values(d: usize, e: usize, load_q: &str) -> Option<Vec<(&'static str, String)>> {
    let (d4, e4) = (d.div_ceil(4).max(1), e.div_ceil(4).max(1));
    let keys = tile_keys(d, e)?;
    let lines =
        |count: usize, line: &dyn Fn(usize) -> String| (0..count).map(line).map(|line| line + "\n").collect::<String>();
    let score: Vec<String> = (0..d4).map(|part| format!("dot(q{part}, k_tile[j * {d4}u + {part}u])")).collect();
    let at = |column: usize| ["x", "y", "z", "w"][column % 4];
    Some(vec![
        ("keys", keys.to_string()),
        ("d", d.to_string()),
        ("d4", d4.to_string()),
        ("e4", e4.to_string()),
        ("query", lines(d4, &|part| format!("    let q{part} = p.scale * {load_q}{part}u);"))),
        ("zeros", lines(e4, &|part| format!("    var o{part} = vec4<f32>();"))),
        ("score", score.join(" + ")),
        ("rescale", lines(e4, &|part| format!("                        o{part} *= factor;"))),
        (
            "accumulate",
            lines(e4, &|part| {
                format!("                    o{part} = fma(vec4<f32>(weight), v_tile[j * {e4}u + {part}u], o{part});")
            }),
        ),
        ("store", lines(e, &|column| format!("        y[at + {column}u] = o{}.{} / sum;", column / 4, at(column)))),
    ])
}

/// The WGSL element type of a buffer with rows of `columns`, and the lines that load four elements at `at`.
pub(super) fn load(name: &str, columns: usize) -> (&'static str, String) {
    if columns.is_multiple_of(4) {
        return ("vec4<f32>", format!("    return {name}[at / 4u];"));
    }
    // The last part of a row is incomplete; indices past its end are not advanced.
    let one = |place: usize| {
        format!(
            "select(0.0, {name}[select(at, at + {place}u, part * 4u + {place}u < {columns}u)], part * 4u + {place}u < {columns}u)"
        )
    };
    ("f32", format!("    return vec4<f32>({}, {}, {}, {});", one(0), one(1), one(2), one(3)))
}
