"""A hook has only what it needs."""

from micle_tf.training.handed import Hook


def test_what_a_hook_leaves_out_does_nothing():
    hook, values = Hook(logged=[].append), {"loss": 1.0}
    hook.before(0), hook.after(1, values), hook.judge(1, values), hook.ended(), hook.close()
    assert values == {"loss": 1.0} and hook.moments == () and hook.every is None
