/* Crops of resized images, cut out of JPEG and raw images: the pixels that PIL gives, bit for bit.

   An image's region is resized and a window of the result kept. Only the rows and columns that the
   window needs are decoded (libjpeg-turbo's jpeg_crop_scanline and jpeg_skip_scanlines), each row
   is resampled as soon as it is decoded, and no whole image is ever held: memory is one row and
   one strip of the window's width.

   The decoder's settings are libjpeg's defaults, as PIL's: the accurate integer transform and
   smooth upsampling of colours. The filter is PIL's antialiased bilinear one: weights in double
   precision, rounded to 22 bits, rows first, with 8 bits between the two passes.

   Called through ctypes, which lets go of Python's lock. */

#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

#ifndef LIBJPEG_TURBO_VERSION
#error "libjpeg-turbo is needed: other libjpegs do not decode a part of an image"
#endif

#define WEIGHT_BITS 22
#define HALF (1 << (WEIGHT_BITS - 1))
#define STRIP 96

#define LOW_BITS 11
#define LOW_MASK ((1 << LOW_BITS) - 1)

#if defined(__x86_64__) && defined(__GNUC__) && defined(__gnu_linux__)
#include <immintrin.h>
#define HAS_AVX2
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "sse4.1", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

enum { JPEG_MODE = 0 };
enum { FINE = 0, WARNED = 1, FAILED = 2 };

/* What is cut out of one image; `CROP` in pixels.py is the same in numpy. */
typedef struct {
    const uint8_t *data; /* a JPEG file, or rows of RGB */
    uint64_t num_bytes;
    uint8_t *out; /* [out_height][out_width][3] */
    int32_t mode, width, height;
    int32_t left, top, region_width, region_height;
    int32_t resized_width, resized_height;
    int32_t offset_x, offset_y; /* of the window, in the resized region */
    int32_t out_width, out_height;
    int32_t mirrored;
    int32_t status;
    char message[JMSG_LENGTH_MAX];
} Crop;

/* One direction's filter: output i is the sum of weights[i * most + k] * input[starts[i] + k]. */
typedef struct {
    int *starts;
    int32_t *weights;
    int32_t *pairs; /* weights 2k and 2k + 1: their upper bits, then their lower bits; or NULL */
    int most;        /* room for the weights of an output */
    int taps;        /* weights of each output; the last ones may be zero */
    int first, last; /* inputs that any output needs: first <= i < last */
} Filter;

/* Memory that serves one crop after the other. */
typedef struct {
    void *content;
    size_t size;
} Room;

typedef struct {
    struct jpeg_error_mgr errors; /* first: libjpeg hands out its address */
    jmp_buf escape;
    Crop *crop;
} Complaints;

typedef struct {
    struct jpeg_decompress_struct jpeg;
    Complaints complaints;
    Room lines, strip, whole, columns[3], rows[3];
} Decoder;

static void *room(Room *it, size_t size) {
    if (it->size < size) {
        free(it->content);
        it->content = malloc(size);
        it->size = it->content ? size : 0;
    }
    return it->content;
}

static int failed(Crop *crop, const char *message) {
    crop->status = FAILED;
    snprintf(crop->message, sizeof crop->message, "%s", message);
    return 0;
}

/* ---- libjpeg's complaints ---- */

static void on_error(j_common_ptr jpeg) {
    Complaints *complaints = (Complaints *)jpeg->err;
    complaints->crop->status = FAILED;
    complaints->errors.format_message(jpeg, complaints->crop->message);
    longjmp(complaints->escape, 1);
}

static void on_message(j_common_ptr jpeg, int level) {
    Complaints *complaints = (Complaints *)jpeg->err;
    if (level < 0 && complaints->crop->status == FINE) {
        complaints->crop->status = WARNED;
        complaints->errors.format_message(jpeg, complaints->crop->message);
    }
}

static void on_output(j_common_ptr jpeg) { (void)jpeg; }

/* ---- the filter ---- */

static int build_filter(Filter *filter, Room rooms[3], int size, int resized, int offset, int out) {
    const double scale = (double)size / resized;
    const double support = scale < 1.0 ? 1.0 : scale;
    const double inverse = 1.0 / support;
    filter->most = 2 * ((int)support + 1) + 1;
    filter->starts = room(&rooms[0], sizeof(int) * out);
    filter->weights = room(&rooms[1], sizeof(int32_t) * out * (size_t)filter->most);
    if (!filter->starts || !filter->weights) return 0;
    memset(filter->weights, 0, sizeof(int32_t) * out * (size_t)filter->most);
    filter->first = size, filter->last = 0, filter->taps = 0, filter->pairs = NULL;
    double *exact = malloc(sizeof(double) * (size_t)filter->most);
    if (!exact) return 0;
    for (int i = 0; i < out; i++) {
        const double centre = (offset + i + 0.5) * scale;
        int start = (int)(centre - support + 0.5), end = (int)(centre + support + 0.5);
        if (start < 0) start = 0;
        if (end > size) end = size;
        double sum = 0.0;
        for (int k = 0; k < end - start; k++) {
            double distance = (k + start - centre + 0.5) * inverse;
            if (distance < 0.0) distance = -distance;
            exact[k] = distance < 1.0 ? 1.0 - distance : 0.0;
            sum += exact[k];
        }
        int32_t *weights = filter->weights + (size_t)i * filter->most;
        for (int k = 0; k < end - start; k++) {
            const double weight = sum != 0.0 ? exact[k] / sum : exact[k];
            weights[k] = (int32_t)(0.5 + weight * (1 << WEIGHT_BITS));
        }
        filter->starts[i] = start;
        if (end - start > filter->taps) filter->taps = end - start;
        if (start < filter->first) filter->first = start;
        if (end > filter->last) filter->last = end;
    }
    free(exact);
    return 1;
}

static int pair_weights(Filter *filter, Room *it, int out) {
    const int room_each = filter->most + 1; /* even */
    const size_t count = (size_t)out * room_each;
    filter->pairs = room(it, sizeof(int32_t) * count);
    if (!filter->pairs) return 0;
    for (int i = 0; i < out; i++) {
        const int32_t *weights = filter->weights + (size_t)i * filter->most;
        int32_t *pairs = filter->pairs + (size_t)i * room_each;
        for (int k = 0; k < filter->taps; k += 2) {
            const int32_t one = weights[k], other = k + 1 < filter->taps ? weights[k + 1] : 0;
            pairs[k] = one >> LOW_BITS | (other >> LOW_BITS) << 16;
            pairs[k + 1] = (one & LOW_MASK) | (other & LOW_MASK) << 16;
        }
    }
    return 1;
}

INLINE uint8_t rounded(int32_t sum) {
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

typedef int32_t Four __attribute__((vector_size(16)));
typedef uint8_t FourBytes __attribute__((vector_size(4)));

/* Lines of pixels, which begin at input `filter->first`, to lines of `strip`, which are `stride`
   bytes apart. A line is read `LINE_SPARE` bytes past the inputs that are needed (whatever is there
   has no weight), and one byte past its end is written. */
#define LINE_SPARE(filter) (3 * (size_t)(filter)->taps + 8)

FOR_EACH_CPU
static void filter_line(const Filter *filter, const uint8_t *line, int out, int flip, uint8_t *to) {
    const int taps = filter->taps;
    for (int place = 0; place < out; place++) {
        const int i = flip ? out - 1 - place : place;
        const uint8_t *from = line + 3 * (filter->starts[i] - filter->first);
        const int32_t *weights = filter->weights + (size_t)i * filter->most;
        Four sum = {HALF, HALF, HALF, HALF};
        for (int k = 0; k < taps; k++) {
            FourBytes pixel; /* three colours and a byte that nothing comes of */
            memcpy(&pixel, from + 3 * k, sizeof pixel);
            sum += __builtin_convertvector(pixel, Four) * weights[k];
        }
        for (int c = 0; c < 3; c++) to[3 * place + c] = rounded(sum[c]);
    }
}

#ifdef HAS_AVX2
/* The same for two lines at once: a product of 16-bit numbers and their sum in pairs is one
   instruction, so two inputs are taken together and a weight is split into its upper and its lower
   11 bits. The sums are the same integers. */
__attribute__((target("avx2"))) static void filter_two_lines(const Filter *filter,
                                                             const uint8_t *lines[2], int out,
                                                             int flip, uint8_t *to, size_t stride) {
    const int num_pairs = (filter->taps + 1) / 2;
    const __m256i by_colour = _mm256_setr_epi8(
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1,
        0, -1, 3, -1, 1, -1, 4, -1, 2, -1, 5, -1, -1, -1, -1, -1);
    for (int place = 0; place < out; place++) {
        const int i = flip ? out - 1 - place : place;
        const size_t from = 3 * (size_t)(filter->starts[i] - filter->first);
        const int32_t *pairs = filter->pairs + (size_t)i * (filter->most + 1);
        __m256i upper = _mm256_setzero_si256(), lower = _mm256_set1_epi32(HALF);
        for (int k = 0; k < num_pairs; k++) {
            const __m128i one = _mm_loadl_epi64((const __m128i *)(lines[0] + from + 6 * k));
            const __m128i other = _mm_loadl_epi64((const __m128i *)(lines[1] + from + 6 * k));
            const __m256i pixels = _mm256_shuffle_epi8(_mm256_set_m128i(other, one), by_colour);
            const __m256i high = _mm256_set1_epi32(pairs[2 * k]);
            const __m256i low = _mm256_set1_epi32(pairs[2 * k + 1]);
            upper = _mm256_add_epi32(upper, _mm256_madd_epi16(pixels, high));
            lower = _mm256_add_epi32(lower, _mm256_madd_epi16(pixels, low));
        }
        __m256i sum = _mm256_add_epi32(_mm256_slli_epi32(upper, LOW_BITS), lower);
        sum = _mm256_srli_epi32(sum, WEIGHT_BITS);
        sum = _mm256_packus_epi32(sum, sum);
        sum = _mm256_packus_epi16(sum, sum);
        const int32_t first = _mm256_extract_epi32(sum, 0), second = _mm256_extract_epi32(sum, 4);
        memcpy(to + 3 * place, &first, sizeof first);
        memcpy(to + stride + 3 * place, &second, sizeof second);
    }
}
#endif

static int takes_pairs(void) {
#ifdef HAS_AVX2
    return __builtin_cpu_supports("avx2");
#else
    return 0;
#endif
}

static void filter_lines(const Filter *filter, const uint8_t *lines[2], int count, int out,
                         int flip, uint8_t *to, size_t stride) {
#ifdef HAS_AVX2
    if (count == 2 && filter->pairs) {
        filter_two_lines(filter, lines, out, flip, to, stride);
        return;
    }
#endif
    for (int j = 0; j < count; j++) filter_line(filter, lines[j], out, flip, to + j * stride);
}

/* The lines that `filter_line` left, to the crop: `strip` begins at line `filter->first`. */
FOR_EACH_CPU
static void filter_columns(const Filter *filter, const uint8_t *strip, size_t stride, int width,
                           int out, uint8_t *to) {
    const int taps = filter->taps;
    for (int i = 0; i < out; i++) {
        const uint8_t *from = strip + stride * (filter->starts[i] - filter->first);
        const int32_t *weights = filter->weights + (size_t)i * filter->most;
        for (int x = 0; x < width; x += STRIP) {
            const int count = width - x < STRIP ? width - x : STRIP;
            int32_t sums[STRIP];
            for (int j = 0; j < count; j++) sums[j] = HALF;
            for (int k = 0; k < taps; k++) {
                const uint8_t *line = from + stride * k + x;
                const int32_t weight = weights[k];
                for (int j = 0; j < count; j++) sums[j] += weight * line[j];
            }
            for (int j = 0; j < count; j++) to[(size_t)i * width + x + j] = rounded(sums[j]);
        }
    }
}

/* ---- images to lines ---- */

static void open_jpeg(Decoder *decoder, Crop *crop) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    jpeg_mem_src(jpeg, crop->data, crop->num_bytes);
    jpeg_read_header(jpeg, TRUE);
    if ((int)jpeg->image_width != crop->width || (int)jpeg->image_height != crop->height) {
        crop->status = FAILED;
        snprintf(crop->message, sizeof crop->message, "has %ux%u pixels, and its tables say %dx%d",
                 jpeg->image_width, jpeg->image_height, crop->width, crop->height);
        longjmp(decoder->complaints.escape, 1);
    }
    jpeg->out_color_space = JCS_RGB;
    jpeg_start_decompress(jpeg);
}

static void *needed(Decoder *decoder, Room *it, size_t size) {
    void *content = room(it, size);
    if (content) return content;
    failed(decoder->complaints.crop, "out of memory");
    longjmp(decoder->complaints.escape, 1);
}

/* All pixels of an image that several crops are cut out of. */
static int decode_whole(Decoder *decoder, Crop *crop) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    decoder->complaints.crop = crop;
    crop->status = FINE;
    if (setjmp(decoder->complaints.escape)) {
        jpeg_abort_decompress(jpeg);
        return 0;
    }
    open_jpeg(decoder, crop);
    const size_t stride = 3 * (size_t)crop->width;
    uint8_t *pixels = needed(decoder, &decoder->whole, stride * crop->height);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *line = pixels + stride * jpeg->output_scanline;
        jpeg_read_scanlines(jpeg, &line, 1);
    }
    jpeg_abort_decompress(jpeg);
    return 1;
}

/* A crop that is being cut: its filters, and the strip of lines between them. */
typedef struct {
    Filter columns, rows;
    int left, right, top; /* columns and the first row of the image that are needed */
    uint8_t *strip;
    size_t stride;
} Cut;

static void filter_rows(const Cut *cut, const Crop *crop, const uint8_t *lines[2], int row,
                        int count) {
    uint8_t *to = cut->strip + cut->stride * (row - cut->rows.first);
    filter_lines(&cut->columns, lines, count, crop->out_width, crop->mirrored, to, cut->stride);
}

static int crop_jpeg(Decoder *decoder, Crop *crop, const Cut *cut) {
    struct jpeg_decompress_struct *jpeg = &decoder->jpeg;
    decoder->complaints.crop = crop;
    if (setjmp(decoder->complaints.escape)) {
        jpeg_abort_decompress(jpeg);
        return 0;
    }
    open_jpeg(decoder, crop);
    /* Smooth upsampling looks at the neighbours of a column: one more on each side. */
    JDIMENSION start = cut->left > 0 ? cut->left - 1 : 0;
    JDIMENSION width = (cut->right < crop->width ? cut->right + 1 : cut->right) - start;
    if (width < jpeg->output_width) jpeg_crop_scanline(jpeg, &start, &width);
    const size_t num_bytes = 3 * (size_t)width + LINE_SPARE(&cut->columns);
    uint8_t *buffer = needed(decoder, &decoder->lines, 2 * num_bytes);
    const size_t margin = 3 * (size_t)(cut->left - start);
    if (cut->top > 0) jpeg_skip_scanlines(jpeg, cut->top);
    for (int row = cut->rows.first; row < cut->rows.last; row += 2) {
        const int count = cut->rows.last - row < 2 ? 1 : 2;
        for (int j = 0; j < count; j++) {
            uint8_t *line = buffer + j * num_bytes;
            jpeg_read_scanlines(jpeg, &line, 1);
        }
        const uint8_t *lines[2] = {buffer + margin, buffer + margin + num_bytes};
        filter_rows(cut, crop, lines, row, count);
    }
    jpeg_abort_decompress(jpeg);
    return 1;
}

static int crop_pixels(Decoder *decoder, Crop *crop, const uint8_t *pixels, const Cut *cut) {
    const size_t num_bytes = 3 * (size_t)(cut->right - cut->left);
    const size_t spared = num_bytes + LINE_SPARE(&cut->columns);
    uint8_t *buffer = room(&decoder->lines, 2 * spared);
    if (!buffer) return failed(crop, "out of memory");
    for (int row = cut->rows.first; row < cut->rows.last; row += 2) {
        const int count = cut->rows.last - row < 2 ? 1 : 2;
        for (int j = 0; j < count; j++) {
            const size_t y = crop->top + row + j;
            memcpy(buffer + j * spared, pixels + 3 * (y * crop->width + cut->left), num_bytes);
        }
        const uint8_t *lines[2] = {buffer, buffer + spared};
        filter_rows(cut, crop, lines, row, count);
    }
    return 1;
}

static int cut_one(Decoder *decoder, Crop *crop, const uint8_t *pixels) {
    Cut cut = {0};
    if (!build_filter(&cut.columns, decoder->columns, crop->region_width, crop->resized_width,
                      crop->offset_x, crop->out_width) ||
        !build_filter(&cut.rows, decoder->rows, crop->region_height, crop->resized_height,
                      crop->offset_y, crop->out_height) ||
        (takes_pairs() && !pair_weights(&cut.columns, &decoder->columns[2], crop->out_width)))
        return failed(crop, "out of memory");
    cut.left = crop->left + cut.columns.first;
    cut.right = crop->left + cut.columns.last;
    cut.top = crop->top + cut.rows.first;
    cut.stride = 3 * (size_t)crop->out_width + 1;
    cut.strip = room(&decoder->strip, cut.stride * (cut.rows.last - cut.rows.first + cut.rows.taps));
    if (!cut.strip) return failed(crop, "out of memory");
    if (!(pixels ? crop_pixels(decoder, crop, pixels, &cut) : crop_jpeg(decoder, crop, &cut)))
        return 0;
    filter_columns(&cut.rows, cut.strip, cut.stride, 3 * crop->out_width, crop->out_height,
                   crop->out);
    return 1;
}

static int is_within(const Crop *crop) {
    return crop->width > 0 && crop->height > 0 && crop->left >= 0 && crop->top >= 0 &&
           crop->region_width > 0 && crop->region_height > 0 &&
           crop->left <= crop->width - crop->region_width &&
           crop->top <= crop->height - crop->region_height && crop->offset_x >= 0 &&
           crop->offset_y >= 0 && crop->out_width > 0 && crop->out_height > 0 &&
           crop->offset_x <= crop->resized_width - crop->out_width &&
           crop->offset_y <= crop->resized_height - crop->out_height &&
           (crop->mode == JPEG_MODE ||
            crop->num_bytes >= 3 * (uint64_t)crop->width * (uint64_t)crop->height);
}

/* Cut `count` crops; each one's status and message say how it went. Crops of one image that follow
   each other share its decoding. Returns 0, or -1 without having done anything where memory is
   out. */
int pixels_cut(Crop *crops, int64_t count) {
    Decoder *decoder = calloc(1, sizeof *decoder);
    if (!decoder) return -1;
    decoder->jpeg.err = jpeg_std_error(&decoder->complaints.errors);
    decoder->complaints.errors.error_exit = on_error;
    decoder->complaints.errors.emit_message = on_message;
    decoder->complaints.errors.output_message = on_output;
    if (!setjmp(decoder->complaints.escape)) {
        decoder->complaints.crop = crops;
        jpeg_create_decompress(&decoder->jpeg);
    } else {
        free(decoder);
        return -1;
    }
    const Crop *decoded = NULL;
    for (int64_t i = 0; i < count; i++) {
        Crop *crop = &crops[i];
        crop->status = FINE;
        crop->message[0] = 0;
        if (!is_within(crop)) {
            failed(crop, "the crop does not lie within the image");
            continue;
        }
        const int is_again = decoded && decoded->data == crop->data;
        const int comes_again = i + 1 < count && crops[i + 1].data == crop->data;
        const uint8_t *pixels = crop->mode == JPEG_MODE ? NULL : crop->data;
        if (!pixels && (is_again || comes_again)) {
            if (!is_again && !decode_whole(decoder, crop)) continue;
            if (is_again) {
                crop->status = decoded->status;
                memcpy(crop->message, decoded->message, sizeof crop->message);
            }
            decoded = crop;
            pixels = decoder->whole.content;
        }
        if (!cut_one(decoder, crop, pixels)) continue;
    }
    jpeg_destroy_decompress(&decoder->jpeg);
    Room *rooms[] = {&decoder->lines,      &decoder->strip,   &decoder->whole,
                     &decoder->columns[0], &decoder->columns[1], &decoder->columns[2],
                     &decoder->rows[0],    &decoder->rows[1], &decoder->rows[2]};
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms; i++) free(rooms[i]->content);
    free(decoder);
    return 0;
}

int64_t pixels_crop_bytes(void) { return sizeof(Crop); }
