// The process's worker threads. A call is split into items; workers take one item of each waiting
// call in turn, so that a small call does not wait for the end of a large one.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "workspace.hpp"

namespace secondpass {

struct PoolCall {
    std::size_t items = 0;
    std::size_t threads = 1;  // at most this many workers at a time
    std::function<void(std::size_t item, Workspace&)> work;
    std::function<bool()> cancelled;  // asked now and then by the thread that waits
};

class ThreadPool {
public:
    // The pool of this process; made when first asked for, and anew in a forked child, which has
    // none of its parent's threads.
    static ThreadPool& of_process();

    ThreadPool() = default;
    ~ThreadPool();
    ThreadPool(const ThreadPool&) = delete;
    ThreadPool& operator=(const ThreadPool&) = delete;

    // Runs every item and returns true, or false where the call was cancelled between two of them.
    // The first exception of an item ends the call and is thrown here. From any thread.
    bool run(const PoolCall& call);

private:
    struct Job;

    void grow(std::size_t threads);
    void serve();
    Job* next_job();

    std::mutex mutex_;
    std::condition_variable arrived_;
    std::deque<Job*> jobs_;  // the next to be served first
    std::vector<std::thread> workers_;
    bool ending_ = false;
};

}  // namespace secondpass
