# SPDX-License-Identifier: MIT
# Processes: a pool, and fork while other threads allocate all the time.
import multiprocessing
import os
import threading


def square(n):
    table = {str(i): [i] * (i % 20) for i in range(3000)}
    return n * n + len(table)


def main():
    with multiprocessing.get_context("fork").Pool(4) as pool:
        print(pool.map(square, range(40)))

    stop = threading.Event()

    def churn():
        while not stop.is_set():
            [bytes(n % 5000) for n in range(200)]

    threads = [threading.Thread(target=churn) for _ in range(3)]
    for thread in threads:
        thread.start()
    for turn in range(40):
        child = os.fork()
        if child == 0:
            grandchild = os.fork()
            data = [bytes(n) for n in range(500)]
            if grandchild == 0:
                os._exit(len(data) // 100)
            _, status = os.waitpid(grandchild, 0)
            os._exit(os.waitstatus_to_exitcode(status) + 1)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 6, status
    stop.set()
    for thread in threads:
        thread.join()
    print("40 children")


main()
