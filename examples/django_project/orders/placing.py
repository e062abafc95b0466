"""Placing an order: one transaction, and a workflow that starts when it is committed."""

from functools import partial

from django.db import transaction

from celery_dyrygent.workflows import Workflow
from orders.models import Order
from orders.tasks import charge, give_up, price

__all__ = ["fulfil", "place"]


def place(article: str) -> Order:
    """Write an order, and let its workflow start once others can read it.

    Inside a transaction a worker would be faster than the commit, and would not find the order; and of a transaction
    that is rolled back nothing may start at all.
    """
    with transaction.atomic():
        order = Order.objects.create(article=article)
        transaction.on_commit(partial(fulfil, order.pk))
    return order


def fulfil(order_id: int) -> None:
    """Start the workflow of an order. Its id is the order's, so starting it twice is starting it once."""
    workflow = Workflow(name="order")
    priced = workflow.add(price.s(order_id), id="price")
    workflow.add(charge.s(priced.result, order_id), id="charge")
    workflow.on_error(give_up.s(order_id), id="give-up")
    workflow.apply_async(id=f"order-{order_id}")
