// The threads of a block as threads of this machine: `__syncthreads` is a barrier, so ThreadSanitizer finds one that is
// missing.
#pragma once

#include <barrier>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>

#include <pthread.h>
#include <unistd.h>

namespace host {

// Where `count` threads wait for each other.
#ifdef _POSIX_BARRIERS
// Takes a fraction of the time of the standard library's, whose threads ask again and again before they sleep.
class Barrier {
public:
    explicit Barrier(u32 count) { pthread_barrier_init(&barrier, nullptr, count); }
    void arrive_and_wait() { pthread_barrier_wait(&barrier); }

private:
    pthread_barrier_t barrier;
};
#else
typedef std::barrier<> Barrier;
#endif

// The threads that every block runs on. They live as long as the process.
class Pool {
public:
    static Pool& instance() {
        static Pool* pool = new Pool;
        return *pool;
    }

    void run(const Launch& launch) {
        std::lock_guard alone(launching);
        current = &launch;
        gate.arrive_and_wait();
        gate.arrive_and_wait();
    }

    // Waits for the other threads of the block. All must come from the same line of the source: anything else is
    // undefined on a device.
    void wait(int line) {
        static thread_local u32 waits = 0;
        auto& comes_from = lines[waits++ % 2];
        comes_from[threadIdx.x] = line;
        perhaps_yield();
        barrier.arrive_and_wait();
        perhaps_yield();
        if (comes_from[0] != line) {
            std::fprintf(stderr, "threads 0 and %u of a block wait at different lines, %d and %d; 0 is the end\n",
                         threadIdx.x, comes_from[0], line);
            std::abort();
        }
    }

private:
    Pool() {
        for (u32 number = 0; number < THREADS; number++) std::thread([=, this] { work(number); }).detach();
    }

    [[noreturn]] void work(u32 number) {
        for (;;) {
            gate.arrive_and_wait();
            run_blocks(*current, number);
            gate.arrive_and_wait();
        }
    }

    void run_blocks(const Launch& launch, u32 number) {
        random = launch.order == 0 ? 0 : launch.order * 0x9e3779b97f4a7c15 + number + 1;
        threadIdx.x = launch.threads[number];
        gridDim.x = launch.grid;
        for (u32 block : launch.blocks) {
            blockIdx.x = block;
            launch.kernel(launch.arguments);
            wait(0);
        }
    }

    // Lets another thread pass in one of eight places, by the generator of Marsaglia, "Xorshift RNGs", 2003.
    static void perhaps_yield() {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        if (random % 8 == 1) std::this_thread::yield();
    }

    static inline thread_local u64 random = 0;
    std::mutex launching;
    const Launch* current = nullptr;
    Barrier gate{THREADS + 1};
    Barrier barrier{THREADS};
    int lines[2][THREADS] = {};
};

}  // namespace host
