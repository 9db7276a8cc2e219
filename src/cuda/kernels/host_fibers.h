// The threads of a block as fibers of the calling thread: each runs until it waits or ends, then the next one does.
// Takes a small part of the time that threads take, and finds no race.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include <ucontext.h>

namespace host {

class Pool {
public:
    static Pool& instance() {
        static Pool* pool = new Pool;
        return *pool;
    }

    void run(const Launch& launch) {
        std::lock_guard alone(launching);
        current = &launch;
        gridDim.x = launch.grid;
        for (u32 block : launch.blocks) {
            blockIdx.x = block;
            run_block(launch);
        }
    }

    // Lets the other threads of the block come to the same line of the source: anything else is undefined on a device.
    void wait(int line) {
        u32 number = threadIdx.x;
        lines[number] = line;
        swapcontext(&fibers[number], &scheduler);
    }

private:
    static constexpr std::size_t STACK = 64 << 10;
    // In the place of a line, where the kernel has ended.
    static constexpr int END = 0;

    void run_block(const Launch& launch) {
        for (u32 number = 0; number < THREADS; number++) begin(number);
        do {
            for (u32 number : launch.threads) {
                threadIdx.x = number;
                swapcontext(&scheduler, &fibers[number]);
            }
            for (u32 number = 1; number < THREADS; number++) {
                if (lines[number] != lines[0]) differ(number);
            }
        } while (lines[0] != END);
    }

    void begin(u32 number) {
        getcontext(&fibers[number]);
        fibers[number].uc_stack.ss_sp = stacks.data() + number * STACK;
        fibers[number].uc_stack.ss_size = STACK;
        fibers[number].uc_link = &scheduler;
        makecontext(&fibers[number], work, 0);
    }

    static void work() {
        Pool& pool = instance();
        pool.current->kernel(pool.current->arguments);
        pool.lines[threadIdx.x] = END;
    }

    [[noreturn]] void differ(u32 number) {
        std::fprintf(stderr, "threads 0 and %u of a block wait at different lines, %d and %d; 0 is the end\n", number,
                     lines[0], lines[number]);
        std::abort();
    }

    std::mutex launching;
    const Launch* current = nullptr;
    std::vector<char> stacks = std::vector<char>(THREADS * STACK);
    ucontext_t scheduler, fibers[THREADS];
    int lines[THREADS] = {};
};

}  // namespace host
