"""The steps of an order: ordinary shared tasks, which know nothing of workflows."""

from celery import shared_task

from orders.models import Order

PRICES = {"tea": 4, "coffee": 6}


@shared_task
def price(order_id: int) -> int:
    """Look up what it costs; an article that is not there is an error."""
    order = Order.objects.get(pk=order_id)
    found = PRICES[order.article]
    Order.objects.filter(pk=order_id).update(price=found)
    return found


@shared_task
def charge(amount: int, order_id: int) -> str:
    """Take the money."""
    Order.objects.filter(pk=order_id).update(state="paid")
    return f"{order_id}: {amount} taken"


@shared_task
def give_up(order_id: int) -> None:
    """Say that it came to nothing."""
    Order.objects.filter(pk=order_id).update(state="failed")
