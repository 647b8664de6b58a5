#include "kblocks.h"
#include "numbers.h"

#include <math.h>
#include <stdbool.h>

#pragma STDC FP_CONTRACT OFF

enum { GROUP = 32, GROUPS = LF_SUPERBLOCK / GROUP, SMALL = 16, SMALLS = LF_SUPERBLOCK / SMALL };

/// The nearest whole number, ties to even, within bounds.
static int nearest(float value, int least, int most) {
    return (int)lrintf(fminf((float)most, fmaxf((float)least, value)));
}

/// A group's weights as `scale * code + offset`; the offset is never above zero.
typedef struct {
    float scale, offset;
    uint8_t codes[GROUP];
} Line;

static void choose_codes(Line *line, const float *x, float inverse, float least, int most) {
    for (int i = 0; i < GROUP; ++i) line->codes[i] = (uint8_t)nearest(inverse * (x[i] - least), 0, most);
}

static float weighted_error(const Line *line, const float *x, const float *w) {
    float sum = 0;
    for (int i = 0; i < GROUP; ++i) {
        const float miss = line->scale * line->codes[i] + line->offset - x[i];
        sum += w[i] * (miss * miss);
    }
    return sum;
}

/// Fits scale and offset to the codes by weighted least squares; false where the codes do not fix them.
static bool fit(Line *line, const float *x, const float *w, float weight, float weighted) {
    float c = 0, cc = 0, cx = 0;
    for (int i = 0; i < GROUP; ++i) {
        const float code = line->codes[i], wc = w[i] * code;
        c += wc;
        cc += wc * code;
        cx += wc * x[i];
    }
    const float determinant = weight * cc - c * c;
    if (!(determinant > 0)) return false;
    line->scale = (weight * cx - weighted * c) / determinant;
    line->offset = (cc * weighted - c * cx) / determinant;
    if (line->offset > 0) {
        line->offset = 0;
        line->scale = cx / cc;
    }
    return true;
}

/// Tries code ranges a little narrower and wider than the weights' own, and keeps the line that misses least.
static Line best_line(const float *x, int bits) {
    const int most = (1 << bits) - 1, tries = bits == 4 ? 20 : 15;
    const float first = bits == 4 ? -1.0f : -0.5f;
    float w[GROUP], squares = 0;
    for (int i = 0; i < GROUP; ++i) squares += x[i] * x[i];
    const float typical = sqrtf(squares / GROUP);
    float low = 0, high = x[0], weight = 0, weighted = 0;
    for (int i = 0; i < GROUP; ++i) {
        w[i] = typical + fabsf(x[i]);
        low = fminf(low, x[i]);
        high = fmaxf(high, x[i]);
        weight += w[i];
        weighted += w[i] * x[i];
    }
    Line best = {.offset = low};
    if (high == low) return best;
    const float inverse = (float)most / (high - low);
    best.scale = 1 / inverse;
    choose_codes(&best, x, inverse, low, most);
    float least = weighted_error(&best, x, w);
    // Each try starts from the least weight of the best line so far.
    for (int attempt = 0; attempt <= tries; ++attempt) {
        Line line;
        choose_codes(&line, x, (first + 0.1f * (float)attempt + (float)most) / (high - best.offset), best.offset, most);
        if (!fit(&line, x, w, weight, weighted)) continue;
        const float error = weighted_error(&line, x, w);
        if (error < least) {
            least = error;
            best = line;
        }
    }
    return best;
}

/// Twelve bytes hold eight scales and eight offsets of six bits: those of the first four groups in the low bits of bytes 0 to 7, those
/// of the others in the nibbles of bytes 8 to 11 and in the high bits of bytes 0 to 7.
static void pack_sixes(const uint8_t *scales, const uint8_t *offsets, uint8_t *out) {
    for (int i = 0; i < 4; ++i) {
        out[i] = (uint8_t)(scales[i] | (scales[i + 4] >> 4) << 6);
        out[i + 4] = (uint8_t)(offsets[i] | (offsets[i + 4] >> 4) << 6);
        out[i + 8] = (uint8_t)((scales[i + 4] & 15) | (offsets[i + 4] & 15) << 4);
    }
}

static void unpack_sixes(const uint8_t *in, uint8_t *scales, uint8_t *offsets) {
    for (int i = 0; i < 4; ++i) {
        scales[i] = in[i] & 63;
        offsets[i] = in[i + 4] & 63;
        scales[i + 4] = (uint8_t)((in[i + 8] & 15) | (in[i] >> 6) << 4);
        offsets[i + 4] = (uint8_t)(in[i + 8] >> 4 | (in[i + 4] >> 6) << 4);
    }
}

void lf_encode_ranged_superblock(const float *x, int bits, uint8_t *out) {
    Line lines[GROUPS];
    float largest_scale = 0, largest_offset = 0;
    for (int g = 0; g < GROUPS; ++g) {
        lines[g] = best_line(x + GROUP * g, bits);
        largest_scale = fmaxf(largest_scale, lines[g].scale);
        largest_offset = fmaxf(largest_offset, -lines[g].offset);
    }
    const float by_scale = largest_scale > 0 ? 63 / largest_scale : 0;
    const float by_offset = largest_offset > 0 ? 63 / largest_offset : 0;
    uint8_t scales[GROUPS], offsets[GROUPS];
    for (int g = 0; g < GROUPS; ++g) {
        scales[g] = (uint8_t)nearest(by_scale * lines[g].scale, 0, 63);
        offsets[g] = (uint8_t)nearest(by_offset * -lines[g].offset, 0, 63);
    }
    const uint16_t unit = lf_half(largest_scale / 63), offset_unit = lf_half(largest_offset / 63);
    lf_put16(out, unit);
    lf_put16(out + 2, offset_unit);
    pack_sixes(scales, offsets, out + 4);
    // Rounded scales call for other codes.
    for (int g = 0; g < GROUPS; ++g) {
        const float scale = lf_from_half(unit) * scales[g], offset = lf_from_half(offset_unit) * offsets[g];
        if (scale == 0) continue;
        for (int i = 0; i < GROUP; ++i) lines[g].codes[i] = (uint8_t)nearest((x[GROUP * g + i] + offset) / scale, 0, (1 << bits) - 1);
    }
    uint8_t *fifths = out + 16, *nibbles = out + (bits == 5 ? 48 : 16);
    if (bits == 5) memset(fifths, 0, GROUP);
    for (int g = 0; g < GROUPS; g += 2) {
        for (int i = 0; i < GROUP; ++i) {
            const uint8_t a = lines[g].codes[i], b = lines[g + 1].codes[i];
            nibbles[GROUP * (g / 2) + i] = (uint8_t)((a & 15) | (b & 15) << 4);
            if (bits == 5) fifths[i] |= (uint8_t)((a >> 4) << g | (b >> 4) << (g + 1));
        }
    }
}

void lf_decode_ranged_superblock(const uint8_t *in, int bits, float *x) {
    const float unit = lf_from_half(lf_get16(in)), offset_unit = lf_from_half(lf_get16(in + 2));
    const uint8_t *fifths = in + 16, *nibbles = in + (bits == 5 ? 48 : 16);
    uint8_t scales[GROUPS], offsets[GROUPS];
    unpack_sixes(in + 4, scales, offsets);
    for (int g = 0; g < GROUPS; ++g) {
        const float scale = unit * scales[g], offset = offset_unit * offsets[g];
        for (int i = 0; i < GROUP; ++i) {
            int code = nibbles[GROUP * (g / 2) + i] >> 4 * (g % 2) & 15;
            if (bits == 5) code |= (fifths[i] >> g & 1) << 4;
            x[GROUP * g + i] = scale * (float)code - offset;
        }
    }
}

/// Weights below this are zero for Q6_K.
static const float nothing = 1e-15f;

/// A scale for 16 weights and codes from -32 to 31: the best of nineteen, each weight counted by its square.
static float best_scale(const float *x, int8_t *codes) {
    float extreme = 0;
    for (int i = 0; i < SMALL; ++i) {
        if (fabsf(x[i]) > fabsf(extreme)) extreme = x[i];
    }
    if (fabsf(extreme) < nothing) {
        // The scale says it all; ggml leaves the lowest code.
        memset(codes, -32, SMALL);
        return 0;
    }
    float scale = 0, gain = 0;
    for (int attempt = 0; attempt < 19; ++attempt) {
        // The plain range first, then from the widest to the narrowest.
        const int change = attempt == 0 ? 0 : attempt <= 9 ? attempt - 10 : attempt - 9;
        const float inverse = -(32 + 0.1f * (float)change) / extreme;
        int8_t tried[SMALL];
        float xc = 0, cc = 0;
        for (int i = 0; i < SMALL; ++i) {
            const int code = nearest(inverse * x[i], -32, 31);
            const float w = x[i] * x[i];
            tried[i] = (int8_t)code;
            xc += w * x[i] * (float)code;
            cc += w * (float)code * (float)code;
        }
        if (attempt == 0 || (cc > 0 && xc * xc > gain * cc)) {
            scale = cc != 0 ? xc / cc : 0;
            gain = scale * xc;
            memcpy(codes, tried, SMALL);
        }
    }
    return scale;
}

void lf_encode_centred_superblock(const float *x, uint8_t *out) {
    int8_t codes[LF_SUPERBLOCK];
    float scales[SMALLS], extreme = 0;
    for (int g = 0; g < SMALLS; ++g) {
        scales[g] = best_scale(x + SMALL * g, codes + SMALL * g);
        if (fabsf(scales[g]) > fabsf(extreme)) extreme = scales[g];
    }
    memset(out, 0, 210);
    if (fabsf(extreme) < nothing) return;
    const float inverse = -128 / extreme;
    const uint16_t unit = lf_half(1 / inverse);
    uint8_t *low = out, *high = out + 128;
    int8_t *stored = (int8_t *)(out + 192);
    lf_put16(out + 208, unit);
    for (int g = 0; g < SMALLS; ++g) {
        stored[g] = (int8_t)nearest(inverse * scales[g], -128, 127);
        const float scale = lf_from_half(unit) * stored[g];
        if (scale == 0) continue;
        for (int i = 0; i < SMALL; ++i) codes[SMALL * g + i] = (int8_t)nearest(x[SMALL * g + i] / scale, -32, 31);
    }
    // Each half of 128 weights is four rows of 32: rows 0 and 2 share bytes of `low`, rows 1 and 3 too, and `high` has two bits of each.
    for (int i = 0; i < LF_SUPERBLOCK; ++i) {
        const int half = i / 128, row = i % 128 / 32, column = i % 32, code = codes[i] + 32;
        low[64 * half + 32 * (row % 2) + column] |= (uint8_t)((code & 15) << 4 * (row / 2));
        high[32 * half + column] |= (uint8_t)((code >> 4) << 2 * row);
    }
}

void lf_decode_centred_superblock(const uint8_t *in, float *x) {
    const uint8_t *low = in, *high = in + 128;
    const int8_t *stored = (const int8_t *)(in + 192);
    const float unit = lf_from_half(lf_get16(in + 208));
    for (int i = 0; i < LF_SUPERBLOCK; ++i) {
        const int half = i / 128, row = i % 128 / 32, column = i % 32;
        const int code = (low[64 * half + 32 * (row % 2) + column] >> 4 * (row / 2) & 15) | (high[32 * half + column] >> 2 * row & 3) << 4;
        x[i] = unit * stored[i / SMALL] * (float)(code - 32);
    }
}
