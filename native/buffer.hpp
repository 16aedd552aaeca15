// Memory on cache-line boundaries, uninitialised; move only.
#pragma once

#include <cstddef>
#include <new>
#include <type_traits>
#include <utility>

namespace secondpass {

template <class T>
class Buffer {
    static_assert(std::is_trivially_copyable_v<T> && std::is_trivially_destructible_v<T>);

public:
    Buffer() = default;
    explicit Buffer(std::size_t count) { reserve(count); }
    ~Buffer() { release(); }
    Buffer(Buffer&& other) noexcept
        : data_(std::exchange(other.data_, nullptr)), count_(std::exchange(other.count_, 0)) {}
    Buffer& operator=(Buffer&& other) noexcept {
        std::swap(data_, other.data_);
        std::swap(count_, other.count_);
        return *this;
    }

    // Room for `count` values; what was there is lost where it has to grow.
    T* reserve(std::size_t count) {
        if (count > count_) {
            if (count > static_cast<std::size_t>(-1) / 2 / sizeof(T)) {
                throw std::bad_alloc();
            }
            release();
            data_ = static_cast<T*>(::operator new(count * sizeof(T), alignment));
            count_ = count;
        }
        return data_;
    }
    void release() {
        if (data_ != nullptr) {
            ::operator delete(data_, alignment);
        }
        data_ = nullptr;
        count_ = 0;
    }
    void fill(T value) {
        for (std::size_t i = 0; i < count_; ++i) {
            data_[i] = value;
        }
    }

    T* data() { return data_; }
    const T* data() const { return data_; }
    std::size_t bytes() const { return count_ * sizeof(T); }
    T& operator[](std::size_t i) { return data_[i]; }
    const T& operator[](std::size_t i) const { return data_[i]; }

private:
    static constexpr std::align_val_t alignment{64};
    T* data_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace secondpass
