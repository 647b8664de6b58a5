/// A binary heap whose least element comes out first.
struct MinHeap {
    private var elements: [UInt64] = []

    mutating func reserveCapacity(_ capacity: Int) { elements.reserveCapacity(capacity) }

    /// Adds an element without ordering; `heapify` must follow.
    mutating func append(_ element: UInt64) { elements.append(element) }

    mutating func heapify() {
        guard elements.count > 1 else { return }
        for index in (0..<elements.count / 2).reversed() { siftDown(from: index) }
    }

    mutating func insert(_ element: UInt64) {
        elements.append(element)
        var child = elements.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            if elements[parent] <= element { break }
            elements[child] = elements[parent]
            child = parent
        }
        elements[child] = element
    }

    mutating func popMin() -> UInt64? {
        guard let least = elements.first else { return nil }
        let last = elements.removeLast()
        if !elements.isEmpty {
            elements[0] = last
            siftDown(from: 0)
        }
        return least
    }

    private mutating func siftDown(from start: Int) {
        let element = elements[start]
        var parent = start
        while true {
            var child = 2 * parent + 1
            if child >= elements.count { break }
            if child + 1 < elements.count, elements[child + 1] < elements[child] { child += 1 }
            if element <= elements[child] { break }
            elements[parent] = elements[child]
            parent = child
        }
        elements[parent] = element
    }
}
