        // Keys from `first_key` to `keys_end`, tile by tile, for the query of each invocation with `mine`: updates the
        // largest score, the sum of the weights relative to it, and the weighted sum of the values.
        for (var first = first_key; first < keys_end; first += KEYS) {
            for (var i = lane; i < KEYS * {{d4}}u; i += 64u) {
                k_tile[i] = load_k(first + i / {{d4}}u, keys_end, i % {{d4}}u);
            }
            for (var i = lane; i < KEYS * {{e4}}u; i += 64u) {
                v_tile[i] = load_v(first + i / {{e4}}u, keys_end, i % {{e4}}u);
            }
            workgroupBarrier();
            if mine {
                let count = min(KEYS, keys_end - first);
                for (var j = 0u; j < count; j++) {
{{hidden}}
                    var score = {{score}};
{{mask}}
                    if score > largest {
                        let factor = exp(largest - score);
                        sum *= factor;
{{rescale}}
                        largest = score;
                    }
                    let weight = exp(score - largest);
                    sum += weight;
{{accumulate}}
                }
            }
            workgroupBarrier();
        }
