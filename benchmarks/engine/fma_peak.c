/* Fused multiply-adds in registers only, on some threads at once: what the cores could do at most.
 *
 * usage: fma_peak THREADS SECONDS
 * prints a line a kind of number: "fp32 BITS GFLOP/s", "bf16 BITS GFLOP/s" where the CPU has it.
 */
#define _POSIX_C_SOURCE 199309L
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

/* Sums in flight: more than latency times units (4 x 2 in today's x86), fewer than registers. */
#if defined(__AVX512F__)
#define BYTES 64
#define SUMS 20
#elif defined(__AVX__)
#define BYTES 32
#define SUMS 12
#elif defined(__aarch64__)
#define BYTES 16
#define SUMS 24
#else
#define BYTES 16
#define SUMS 12
#endif
#define ROUNDS 100000
#define MAX_THREADS 1024

typedef float vector __attribute__((vector_size(BYTES)));
typedef double (*kernel)(float seed);

static double deadline;
static kernel chosen;

static double read_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + 1e-9 * now.tv_nsec;
}

/* Values that depend on the seed and converge: nothing to fold away, nothing denormal. */
static double run_fp32(float seed) {
    vector factor = (vector){0} + 0.5f * seed, term = (vector){0} + seed, sums[SUMS];
    for (int i = 0; i < SUMS; i++) sums[i] = (vector){0} + seed * i;
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 32
        for (int i = 0; i < SUMS; i++) sums[i] = sums[i] * factor + term;
    for (int i = 1; i < SUMS; i++) sums[0] += sums[i];
    return sums[0][0];
}

#ifdef __AVX512BF16__
static double run_bf16(float seed) {
    __m512 start = _mm512_set1_ps(1e-3f * seed), sums[SUMS];
    __m512bh pairs = _mm512_cvtne2ps_pbh(start, start);
    for (int i = 0; i < SUMS; i++) sums[i] = start;
    for (int round = 0; round < ROUNDS; round++)
#pragma GCC unroll 32
        for (int i = 0; i < SUMS; i++) sums[i] = _mm512_dpbf16_ps(sums[i], pairs, pairs);
    for (int i = 1; i < SUMS; i++) sums[0] = _mm512_add_ps(sums[0], sums[i]);
    return _mm512_cvtss_f32(sums[0]);
}
#endif

struct share {
    float seed;
    double calls_a_second, result;
};

static void *run_until_deadline(void *argument) {
    struct share *share = argument;
    long calls = 0;
    double start = read_clock(), now = start;
    for (; now < deadline; calls++, now = read_clock()) share->result += chosen(share->seed);
    share->calls_a_second = calls / (now - start);
    return NULL;
}

static int measure(const char *name, kernel run, int threads, double seconds, double flop) {
    static pthread_t ids[MAX_THREADS];
    static struct share shares[MAX_THREADS];
    double rate = 0, result = 0;
    chosen = run;
    deadline = read_clock() + seconds;
    for (int i = 0; i < threads; i++) {
        shares[i] = (struct share){.seed = 1.0f + 1e-6f * i};
        if (pthread_create(&ids[i], NULL, run_until_deadline, &shares[i])) return 1;
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        rate += shares[i].calls_a_second;
        result += shares[i].result;
    }
    /* The result goes to stderr: a compiler may not leave out what is printed. */
    fprintf(stderr, "%g\n", result);
    printf("%s %d %.3f\n", name, 8 * BYTES, rate * ROUNDS * SUMS * flop * 1e-9);
    return 0;
}

int main(int count, char **arguments) {
    int threads = count > 2 ? atoi(arguments[1]) : 0;
    double seconds = count > 2 ? atof(arguments[2]) : 0;
    if (threads < 1 || threads > MAX_THREADS || seconds <= 0) return 2;
    int failed = measure("fp32", run_fp32, threads, seconds, 2.0 * BYTES / sizeof(float));
#ifdef __AVX512BF16__
    failed |= measure("bf16", run_bf16, threads, seconds, 4.0 * BYTES / sizeof(float));
#endif
    return failed;
}
